"""Staged objects are read with few requests, never whole, and never as another version."""

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from dicom_service.part10 import read_header
from dicom_service.uploads.s3source import ObjectMissing, S3Source, StagingTrouble
from dicom_service.uploads.staged import Staged, read_staged
from tests.support.upload_files import dicom, uid
from tests.support.uploads import World

MIB = 1024 * 1024


def staged(world: World, content: bytes) -> Staged:
    world.put("drop/a", content)
    return read_staged(world.events("drop/a")[0])


@pytest.mark.parametrize(("pixels", "requests"), [(512_000, 1), (200 * MIB, 2)])
def test_a_header_costs_one_or_two_requests(world: World, pixels: int, requests: int) -> None:
    source = S3Source(world.s3, staged(world, dicom(1, pixels=pixels)))

    assert read_header(source).sop_instance_uid == uid(1)

    assert source.requests <= requests


def test_small_files_are_whole_after_their_header_and_large_ones_are_not(world: World) -> None:
    small, large = (S3Source(world.s3, staged(world, dicom(1, pixels=size))) for size in (1000, 9 * MIB))
    for source in (small, large):
        read_header(source)

    assert small.whole() == dicom(1, pixels=1000)
    assert large.whole() is None
    assert sum(len(block) for _, block in large._blocks) < 4 * MIB


class BreakingBody:
    """An answer of S3 that breaks off after some bytes."""

    def __init__(self, body: Any, after: int) -> None:
        self._body, self._left = body, after

    def read(self, size: int) -> bytes:
        if self._left <= 0:
            raise ReadTimeoutError(endpoint_url="s3")
        data: bytes = self._body.read(min(size, self._left))
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._body.close()


class BreakingS3:
    def __init__(self, client: Any, breaks: int, after: int) -> None:
        self._client, self._breaks, self._after = client, breaks, after

    def get_object(self, **arguments: Any) -> Any:
        answer = self._client.get_object(**arguments)
        self._breaks -= 1
        if self._breaks >= 0:
            answer["Body"] = BreakingBody(answer["Body"], self._after)
        return answer


@pytest.mark.parametrize("after", [0, 1, 1_500_000])
def test_a_stream_that_breaks_goes_on_where_it_was(world: World, after: int) -> None:
    content = dicom(1, pixels=5 * MIB)
    source = S3Source(BreakingS3(world.s3, 3, after), staged(world, content))  # type: ignore[arg-type]

    assert b"".join(source.stream()) == content


def test_a_stream_that_always_breaks_is_given_up(world: World) -> None:
    source = S3Source(BreakingS3(world.s3, 1000, 10), staged(world, dicom(1)))  # type: ignore[arg-type]

    with pytest.raises(StagingTrouble):
        list(source.stream())


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(world: World) -> None:
    # GIVEN a reader that has begun
    content = dicom(1, pixels=5 * MIB)
    world.put("drop/a", content)
    source = S3Source(world.s3, read_staged(world.events("drop/a", versions=False)[0]))
    stream: Iterator[bytes] = source.stream()
    first = next(stream)

    # WHEN another file is put under the key
    world.put("drop/a", dicom(2, pixels=5 * MIB))

    # THEN the rest is of the first
    assert first + b"".join(stream) == content
    assert b"".join(source.stream(0, 1000)) == content[:1000]


def test_a_deleted_object_is_missing(world: World) -> None:
    described = staged(world, dicom(1))
    world.s3.delete_object(Bucket="staging", Key="drop/a", VersionId=described.version_id)

    with pytest.raises(ObjectMissing):
        S3Source(world.s3, described).read(0, 10)
