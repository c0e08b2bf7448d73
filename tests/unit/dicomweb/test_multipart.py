"""Multipart bodies in pieces of every size, and cut off at every byte."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomweb.errors import PacsFault, PacsUnreachable
from dicomweb.multipart import MultipartReader, media_type_parameter, related_body

TYPE = 'multipart/related; type="application/dicom"; boundary="b-1"'
BODY = (
    b"preamble\r\n--b-1\r\nContent-Type: application/dicom\r\nX-Other: 1\r\n\r\nfirst\r\n--b-1x is data\r\n"
    b"--b-1 \r\n\r\nsecond\r\n--b-1\r\nContent-Type: text/plain\r\n\r\n\r\n--b-1--\r\nepilogue"
)
PARTS = [
    ({"content-type": "application/dicom", "x-other": "1"}, b"first\r\n--b-1x is data"),
    ({}, b"second"),
    ({"content-type": "text/plain"}, b""),
]


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read_all(data: bytes, size: int, content_type: str = TYPE) -> list[tuple[dict[str, str], bytes]]:
    reader = MultipartReader(pieces(data, size), content_type)
    parts = []
    while (headers := reader.next_part()) is not None:
        parts.append((headers, b"".join(reader.iter_part())))
    return parts


@pytest.mark.parametrize("size", [*range(1, 60), len(BODY)])
def test_boundaries_may_be_split_anywhere(size: int) -> None:
    assert read_all(BODY, size) == PARTS


def test_every_cut_before_the_closing_boundary_is_noticed() -> None:
    end = BODY.index(b"--b-1--") + len(b"--b-1--")
    for length in range(end):
        with pytest.raises(PacsUnreachable):
            read_all(BODY[:length], 7)
    assert read_all(BODY[:end], 7) == PARTS


@pytest.mark.parametrize("boundary", ["b-1", '"b-1"'])
@pytest.mark.parametrize("name", ["boundary", "BOUNDARY"])
def test_boundary_may_be_quoted_or_not(boundary: str, name: str) -> None:
    assert read_all(BODY, 100, f"Multipart/Related; {name}={boundary}; type=x") == PARTS


def test_part_given_up_half_way_is_passed_over() -> None:
    reader = MultipartReader(pieces(BODY, 3), TYPE)
    reader.next_part()
    next(reader.iter_part())
    assert reader.next_part() == {}
    assert b"".join(reader.iter_part()) == b"second"


def test_no_parts() -> None:
    assert read_all(b"--b-1--", 100) == []


def test_no_boundary_is_a_fault() -> None:
    with pytest.raises(PacsFault):
        MultipartReader(iter(()), "multipart/related")


def test_endless_part_header_is_a_fault() -> None:
    endless = (b"X-Header: 1\r\n" for _ in range(100_000))
    reader = MultipartReader(iter([b"--b-1\r\n", *endless]), TYPE)
    with pytest.raises(PacsFault):
        reader.next_part()


def test_large_part_passes_in_bounded_memory() -> None:
    """GIVEN a part of 64 MiB WHEN read THEN no more than a few of its blocks of 64 KiB are ever held."""

    def arriving() -> Iterator[bytes]:
        yield b"--b-1\r\n\r\n"
        for number in range(1024):
            yield bytes([number % 256]) * 65536
        yield b"\r\n--b-1--"

    tracemalloc.start()
    try:
        reader = MultipartReader(arriving(), TYPE)
        reader.next_part()
        length = sum(len(piece) for piece in reader.iter_part())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert length == 64 * 1024 * 1024
    assert peak < 8 * 65536


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=4), st.integers(1, 50))
def test_what_is_written_is_read(files: list[bytes], size: int) -> None:
    body = related_body([(len(file), lambda file=file: iter([file])) for file in files])  # type: ignore[misc]
    sent = b"".join(body.open())
    assert len(sent) == body.length
    assert sent == b"".join(body.open())
    assert read_all(sent, size, body.content_type) == [({"content-type": "application/dicom"}, f) for f in files]


@pytest.mark.parametrize("text", ["a/b; transfer-syntax=1.2.3", 'a/b; x=y; transfer-syntax="1.2.3"'])
def test_parameter_of_a_media_type(text: str) -> None:
    assert media_type_parameter(text, "transfer-syntax") == "1.2.3"
    assert media_type_parameter(text, "other") is None
