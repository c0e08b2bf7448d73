"""Staged objects are read with few requests, never whole, and never as another version."""

import hashlib
import os
import threading
import zipfile
from collections.abc import Generator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from urllib3.exceptions import SSLError as TlsError

from dicom_service.element_walk import ObjectMissing, StorageError
from dicom_service.ingest import batch as ingesting
from dicom_service.ingest.s3source import S3Source, read_ahead
from dicom_service.part10 import read_header
from dicom_service.uploads.staged_object import StagedObject, parse_event
from tests.support.s3 import FaultyS3
from tests.support.upload_files import dicom, fragments, uid, zipped
from tests.support.uploads import World

SOAK = bool(os.environ.get("SOAK"))
MIB = 1024 * 1024
# Fragments of 300 kB: 20 MB, with SOAK=1 60.
FRAGMENTS = 200 if SOAK else 70


def staged(world: World, content: bytes) -> StagedObject:
    world.put("drop/a", content)
    return parse_event(world.events("drop/a")[0])


@pytest.mark.parametrize(("pixels", "requests"), [(512_000, 1), ((200 if SOAK else 20) * MIB, 2)])
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


BREAKS = [ReadTimeoutError(endpoint_url="s3"), TlsError("bad record MAC"), ConnectionResetError()]


@pytest.mark.parametrize("error", BREAKS)
@pytest.mark.parametrize("after", [0, 1, 1_500_000])
def test_a_stream_that_breaks_goes_on_where_it_was(world: World, after: int, error: Exception) -> None:
    content = dicom(1, pixels=5 * MIB)
    s3: Any = FaultyS3(world.s3, breaks=3, after=after, error=error)

    assert b"".join(S3Source(s3, staged(world, content)).stream()) == content
    assert s3.breaks == 0, "every break was met"


def test_a_stream_that_always_breaks_is_given_up(world: World) -> None:
    s3: Any = FaultyS3(world.s3, breaks=1000, after=10)
    source = S3Source(s3, staged(world, dicom(1)))

    with pytest.raises(StorageError):
        list(source.stream())


def test_one_piece_is_read_ahead_and_no_more() -> None:
    # GIVEN pieces of which the third is made only when it may be
    made: list[int] = []
    second, third = threading.Event(), threading.Event()

    def pieces() -> Generator[bytes, None, None]:
        for number in range(1, 6):
            assert number < 3 or third.is_set(), "read too far"
            made.append(number)
            if number == 2:
                second.set()
            yield bytes([number])

    ahead = read_ahead(pieces())
    # WHEN the caller has the first
    assert next(ahead) == b"\1"
    # THEN the second is made without being asked for, and the third not
    assert second.wait(60)
    third.set()
    assert b"".join(ahead) == b"\2\3\4\5"
    assert made == [1, 2, 3, 4, 5]


def test_what_is_read_ahead_ends_with_its_reader_and_its_error_is_the_readers() -> None:
    closed = threading.Event()

    def pieces(error: Exception) -> Generator[bytes, None, None]:
        try:
            yield b"1"
            yield b"2"
            raise error
        finally:
            closed.set()

    # a reader that stops leaves no thread and no body open
    threads = threading.active_count()
    stopped: Any = read_ahead(pieces(StorageError()))
    next(stopped)
    stopped.close()
    assert closed.is_set()
    assert threading.active_count() == threads
    # an error comes behind the pieces before it
    broken = read_ahead(pieces(StorageError()))
    assert [next(broken), next(broken)] == [b"1", b"2"]
    with pytest.raises(StorageError):
        next(broken)


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(world: World) -> None:
    # GIVEN a reader that has begun
    content = dicom(1, pixels=5 * MIB)
    world.put("drop/a", content)
    source = S3Source(world.s3, parse_event(world.events("drop/a", versions=False)[0]))
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


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("NoSuchKey", ObjectMissing),
        ("NoSuchVersion", ObjectMissing),
        ("404", ObjectMissing),
        ("PreconditionFailed", ObjectMissing),
        ("412", ObjectMissing),
        ("MethodNotAllowed", ObjectMissing),
        ("AccessDenied", StorageError),
        ("SlowDown", StorageError),
        ("", StorageError),
    ],
)
def test_an_object_is_missing_only_where_s3_says_so(world: World, code: str, error: type[Exception]) -> None:
    def get_object(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": code}}, "GetObject") if code else ReadTimeoutError(endpoint_url="s3")

    source = S3Source(SimpleNamespace(get_object=get_object), staged(world, dicom(1)))  # type: ignore[arg-type]
    with pytest.raises(error):
        source.read(0, 10)


# How the store treats a range: as it should, not where a version is named, and never.
STORES = {"honours": "", "ignores it for versions": "version", "ignores it always": "always"}


@pytest.mark.parametrize("ignores", STORES.values(), ids=STORES.keys())
@pytest.mark.parametrize("versions", [True, False], ids=["named", "not named"])
def test_every_store_gives_the_bytes_that_were_asked_for(world: World, ignores: str, versions: bool) -> None:
    # GIVEN bytes that differ everywhere, in an object whose event names its version or does not
    content = b"".join(number.to_bytes(4, "big") for number in range(5 * MIB // 4))
    world.put("drop/a", content)
    s3: Any = FaultyS3(world.s3, ignores=ignores)
    source = S3Source(s3, parse_event(world.events("drop/a", versions=versions)[0]))

    # WHEN it is read at its beginning, far behind it, at its end, going back, and as a stream from the middle
    places = [(0, 4), (3 * MIB, 100), (len(content) - 10, 50), (2 * MIB - 7, 14), (MIB - 1, 3 * MIB), (0, 200)]
    read = [source.read(offset, length) for offset, length in places]
    streamed = b"".join(source.stream(MIB + 3, 4 * MIB + 5))
    source.forget()

    # THEN each read is what is there, and nothing stays open
    assert read == [content[offset : offset + length] for offset, length in places]
    assert streamed == content[MIB + 3 : 4 * MIB + 5]
    assert s3.open_bodies == 0
    assert bool(s3.ignored) == (ignores == "always" or ignores == "version"), "the store was met as it is"


@pytest.mark.parametrize("ignores", STORES.values(), ids=STORES.keys())
def test_a_walk_reads_an_object_once_and_not_once_for_each_block(world: World, ignores: str) -> None:
    # GIVEN fragments, all to be visited
    content = fragments(1, count=FRAGMENTS, size=300_000)
    s3: Any = FaultyS3(world.s3, ignores=ignores)
    source = S3Source(s3, staged(world, content))

    assert read_header(source).sop_instance_uid == uid(1)

    # THEN a store that honours ranges gives a part of it, one that does not the whole of it, and hardly more
    assert s3.bytes_read <= 1.1 * len(content), f"{s3.bytes_read / len(content):.2f} times its size"
    assert s3.requests <= FRAGMENTS // 3


def test_who_goes_straight_on_gets_one_body_for_the_rest_and_is_not_bound_to_it(world: World) -> None:
    content = fragments(1, count=FRAGMENTS, size=300_000)
    s3: Any = FaultyS3(world.s3)
    source = S3Source(s3, staged(world, content))

    # GIVEN a reader that goes through it piece by piece
    for offset in range(0, 10 * MIB, 300_000):
        assert source.read(offset, 300_000) == content[offset : offset + 300_000]
    assert s3.requests <= 4
    # WHEN it jumps far ahead, and back THEN what lies between is not read
    read = s3.bytes_read
    assert source.read(18 * MIB, 1000) == content[18 * MIB :][:1000]
    assert source.read(5 * MIB, 1000) == content[5 * MIB :][:1000]
    assert s3.bytes_read - read <= 2 * 64 * 1024
    # AND no body stays open
    source.forget()
    assert s3.open_bodies == 0


def test_a_read_across_two_blocks_fetches_only_what_is_not_there(world: World) -> None:
    content = dicom(1, pixels=4 * MIB)
    s3: Any = FaultyS3(world.s3)
    source = S3Source(s3, staged(world, content))

    for offset in range(0, len(content), 300_000):
        assert source.read(offset, 300_000) == content[offset : offset + 300_000]

    assert s3.bytes_read == len(content)


@pytest.mark.parametrize("lie", [("bytes ", "bytes 1"), ("/52", "/62"), ("bytes", "octets")])
def test_an_answer_for_another_range_is_an_error_that_is_tried_again(world: World, lie: tuple[str, str]) -> None:
    # GIVEN a store that answers a range with the name of another one
    content = dicom(1, pixels=5 * MIB)
    s3: Any = FaultyS3(world.s3, lies=lie)
    source = S3Source(s3, staged(world, content))

    with pytest.raises(StorageError):
        source.read(3 * MIB, 100)
    with pytest.raises(StorageError):
        list(source.stream(3 * MIB))
    assert s3.open_bodies == 0

    # WHEN the file is ingested, THEN it waits, and is stored once the store tells the truth
    world.reads_from = s3
    left = world.deliver(world.events("drop/a"))
    assert (len(left), world.pacs.stored) == (1, {})
    s3.lies = None
    assert world.deliver(left) == []
    assert world.pacs.stored[uid(1)] == content


@pytest.mark.parametrize(("breaks", "left"), [(0, 0), (1000, 1)])
def test_a_file_that_is_not_sent_keeps_neither_connection_nor_memory(
    world: World, monkeypatch: pytest.MonkeyPatch, breaks: int, left: int
) -> None:
    # GIVEN a large file with a fragment that is none, so that it is rejected while a body is open
    content = bytearray(fragments(1, count=60, size=300_000))
    place = content.index(b"\xfe\xff\x00\xe0", len(content) * 3 // 4)
    content[place : place + 4] = b"\0\0\0\0"
    world.put("drop/a", bytes(content))
    # OR a connection that breaks once some of it is read
    s3: Any = FaultyS3(world.s3, breaks=breaks, after=400_000)
    world.reads_from = s3
    sources: list[S3Source] = []

    def made(*arguments: Any) -> S3Source:
        sources.append(S3Source(*arguments))
        return sources[-1]

    monkeypatch.setattr(ingesting, "S3Source", made)

    assert len(world.deliver(world.events("drop/a"))) == left

    assert world.pacs.stored == {}
    assert (len(sources), s3.bytes_read > MIB, s3.open_bodies) == (1, True, 0)
    assert sources[0]._blocks == []


@pytest.mark.parametrize("ignores", STORES.values(), ids=STORES.keys())
def test_reads_that_break_go_on_where_they_were(world: World, ignores: str) -> None:
    content = bytes(range(251)) * 20_000
    s3: Any = FaultyS3(world.s3, ignores=ignores, breaks=3, after=900_000)
    source = S3Source(s3, staged(world, content))

    assert source.read(2_000_000, 3_000_000) == content[2_000_000:5_000_000]
    assert s3.breaks == 0


@pytest.mark.parametrize("ignores", STORES.values(), ids=STORES.keys())
def test_a_zip_and_a_large_file_are_stored_from_every_store(world: World, ignores: str) -> None:
    # GIVEN a ZIP above the first block, and a compressed file whose fragments lie behind it
    large = fragments(99, count=20, size=200_000)
    packed = zipped({f"IM{n}": dicom(n, pixels=300_000) for n in range(1, 9)}, method=zipfile.ZIP_STORED)
    upload_id = world.open([packed, large])
    world.reads_from = FaultyS3(world.s3, ignores=ignores)

    assert world.deliver(world.events("uploads/", versions=False)) == []

    progress = world.progress(upload_id)
    assert progress["counts"] == {"stored": 2}, progress
    assert progress["instances"] == 9
    assert world.pacs.stored[uid(99)] == large
    assert world.pacs.stored[uid(8)] == dicom(8, pixels=300_000)
    assert world.reads_from.bytes_read <= 3.2 * (len(packed) + len(large))


def test_a_key_that_is_written_again_is_read_by_its_version_where_ranges_need_the_key(world: World) -> None:
    # GIVEN a store that honours ranges by key alone, and a reader that has begun
    content = dicom(1, pixels=5 * MIB)
    s3: Any = FaultyS3(world.s3, ignores="version")
    source = S3Source(s3, staged(world, content))
    assert source.read(3 * MIB, 100) == content[3 * MIB : 3 * MIB + 100]
    assert "VersionId" not in s3.asked[-1]

    # WHEN another file is put under the key
    world.put("drop/a", dicom(2, pixels=5 * MIB))

    # THEN the rest is of the first
    assert source.read(4 * MIB + 100_000, 1000) == content[4 * MIB + 100_000 :][:1000]
    assert b"".join(source.stream()) == content


def test_a_read_of_the_end_leaves_the_body_that_brings_the_rest(world: World) -> None:
    content = os.urandom(6 * MIB)
    s3: Any = FaultyS3(world.s3)
    source = S3Source(s3, staged(world, content))
    source.expect_all()

    assert source.read(0, 4) == content[:4]
    assert source.read(len(content) - 1000, 1000) == content[-1000:]
    assert b"".join(source.read(start, 100_000) for start in range(0, len(content), 100_000)) == content

    # THEN one body brought the object, and one request its end
    assert s3.requests == 2
    assert s3.bytes_read <= len(content) + MIB


def test_a_digest_leaves_no_body_open_meanwhile(world: World) -> None:
    content = os.urandom(3 * MIB)
    source = S3Source(world.s3, staged(world, content))
    source.expect_all()
    source.read(0, 4)

    assert source.sha256() == hashlib.sha256(content).hexdigest()
    assert source._forward is None
