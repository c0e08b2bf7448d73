"""Memory while a large instance goes from the PACS to the cache bucket: bounded, whatever the size of the instance."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import requests

from benchmarks.files import new_uid
from benchmarks.servers import Servers, WorkNotDone, api_event, function, running
from benchmarks.table import Row, in_child

GIBIBYTE = 1024**3
PEAK_AIM = 150.0
# What fits the answer, and so needs no bucket: what the function holds anyway.
SMALL = 16 * 1024
_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.7.2"  # Multi-frame Grayscale Byte Secondary Capture
_ROWS = 1024
_CHUNK = bytes(range(256)) * 4096
_LAST_HEAD: list[bytes] = []
# The time of an API request is too short for this much on a busy machine that is PACS, bucket and client at once.
_TIMEOUTS = {"PACS_TOTAL_TIMEOUT": "300", "PACS_READ_TIMEOUT": "120"}


def measure() -> Iterator[Row]:
    with running() as servers:
        small, large = _store(servers, SMALL), _store(servers, GIBIBYTE)
        one = in_child("benchmarks.retrieve:fetch", *small, env=_TIMEOUTS)
        other = in_child("benchmarks.retrieve:fetch", *large, env=_TIMEOUTS)
        _check(servers, one.result, 200)
        _check(servers, other.result, 303)
    name = "GET …/instances/{uid}, 1 GiB to the bucket"
    yield Row(f"{name}: peak memory", "", other.peak, "MiB", aim=PEAK_AIM)
    yield Row(f"{name}: growth", "the function after 16 kB", other.peak - one.peak, "MiB", one.peak)


def _check(servers: Servers, answer: tuple[int, int, str], status: int) -> None:
    """Compare what the caller gets, from the answer or from the bucket, with what was stored."""
    answered, size, location = answer
    if answered != status:
        raise WorkNotDone(f"answered {answered}, not {status}")
    digest, sent = hashlib.sha256(), size
    if location:
        sent = 0
        with requests.get(location, stream=True, timeout=300) as response:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 20):
                digest.update(chunk)
                sent += len(chunk)
        wanted = hashlib.sha256(_LAST_HEAD[-1])
        for start in range(0, GIBIBYTE, len(_CHUNK)):
            wanted.update(_CHUNK[: GIBIBYTE - start])
        if digest.digest() != wanted.digest():
            raise WorkNotDone("the object in the bucket is not what was stored")
    if sent < SMALL:
        raise WorkNotDone(f"{sent} bytes came")


def fetch(study_uid: str, series_uid: str, instance_uid: str) -> tuple[int, int, str]:
    """Call the function once, as API Gateway does; return status, bytes of the body and where it points."""
    path = f"/exams/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}"
    event = api_event("GET", path, query={"fileType": "application/dicom"})
    answer = function("get_instance").lambda_handler(event, None)
    headers = {name: values[0] for name, values in (answer.get("multiValueHeaders") or {}).items()}
    return int(answer["statusCode"]), len(answer.get("body") or ""), headers.get("Location", "")


def _store(servers: Servers, size: int) -> tuple[str, str, str]:
    """Put an instance with so many bytes of pixel data into the PACS, never holding it; give its UIDs."""
    uids = new_uid(), new_uid(), new_uid()
    head = large_header(*uids, frames=max(size // (_ROWS * _ROWS), 1), pixel_bytes=size)
    _LAST_HEAD.append(head)
    boundary = "instance"
    before = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + head
    after = f"\r\n--{boundary}--\r\n".encode()

    class Body:
        def __len__(self) -> int:
            return len(before) + size + len(after)

        def __iter__(self) -> Iterator[bytes]:
            yield before
            for start in range(0, size, len(_CHUNK)):
                yield _CHUNK[: size - start]
            yield after

    servers.send(f'multipart/related; type="application/dicom"; boundary={boundary}', Body())
    return uids


def large_header(study_uid: str, series_uid: str, instance_uid: str, *, frames: int, pixel_bytes: int) -> bytes:
    """Everything of a Part 10 file before the first pixel; Explicit VR Little Endian (PS3.5 §7.1.2)."""
    rows = _ROWS if pixel_bytes > SMALL else 128
    meta = _element(0x00020002, "UI", _MULTIFRAME) + _element(0x00020003, "UI", instance_uid)
    meta += _element(0x00020010, "UI", "1.2.840.10008.1.2.1")
    dataset = b"".join(
        _element(tag, vr, value)
        for tag, vr, value in (
            (0x00080016, "UI", _MULTIFRAME),
            (0x00080018, "UI", instance_uid),
            (0x00080060, "CS", "OT"),
            (0x00100010, "PN", "BENCHMARK"),
            (0x00100020, "LO", "BENCHMARK"),
            (0x0020000D, "UI", study_uid),
            (0x0020000E, "UI", series_uid),
            (0x00280002, "US", 1),
            (0x00280004, "CS", "MONOCHROME2"),
            (0x00280008, "IS", str(frames)),
            (0x00280010, "US", rows),
            (0x00280011, "US", rows),
            (0x00280100, "US", 8),
            (0x00280101, "US", 8),
            (0x00280102, "US", 7),
            (0x00280103, "US", 0),
        )
    )
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, pixel_bytes)
    return bytes(128) + b"DICM" + _element(0x00020000, "UL", len(meta)) + meta + dataset + pixels


def _element(tag: int, vr: str, value: str | int) -> bytes:
    if isinstance(value, int):
        content = struct.pack("<I" if vr == "UL" else "<H", value)
    else:
        content = value.encode() + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(content)) + content
