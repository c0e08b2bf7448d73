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
# Goes to the bucket too, so that both calls load the same libraries: pydicom, by which a file's patient is read, takes
# more memory than the parts of a file.
SMALL = 16 * 1024**2
GROWTH_AIM = 16.0
_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.7.2"  # Multi-frame Grayscale Byte Secondary Capture
_ROWS = 1024
_CHUNK = bytes(range(256)) * 4096
# The time of an API request is too short for this much on a busy machine that is PACS, bucket and client at once.
_TIMEOUTS = {"PACS_TOTAL_TIMEOUT": "300", "PACS_READ_TIMEOUT": "120"}


def measure() -> Iterator[Row]:
    with running() as servers:
        small, large = _store(servers, SMALL), _store(servers, GIBIBYTE)
        one = in_child("benchmarks.retrieve:fetch", *small, env=_TIMEOUTS)
        other = in_child("benchmarks.retrieve:fetch", *large, env=_TIMEOUTS)
        _check(one.result, small, SMALL)
        _check(other.result, large, GIBIBYTE)
    name = "GET …/instances/{uid}, 1 GiB to the bucket"
    yield Row(f"{name}: peak memory", "", other.peak, "MiB")
    yield Row(f"{name}: memory above", "16 MiB to the bucket", other.peak - one.peak, "MiB", aim=GROWTH_AIM)


def _check(answer: tuple[int, str], uids: tuple[str, str, str], pixel_bytes: int) -> None:
    """Compare what the caller gets from the bucket with what was stored."""
    status, location = answer
    if status != 303:
        raise WorkNotDone(f"answered {status}, not 303")
    digest = hashlib.sha256()
    with requests.get(location, stream=True, timeout=300) as response:
        response.raise_for_status()
        for chunk in response.iter_content(1 << 20):
            digest.update(chunk)
    wanted = hashlib.sha256(_header(uids, pixel_bytes))
    for start in range(0, pixel_bytes, len(_CHUNK)):
        wanted.update(_CHUNK[: pixel_bytes - start])
    if digest.digest() != wanted.digest():
        raise WorkNotDone("the object in the bucket is not what was stored")


def fetch(study_uid: str, series_uid: str, instance_uid: str) -> tuple[int, str]:
    """Call the function once, as API Gateway does; return status and where it points."""
    path = f"/exams/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}"
    event = api_event("GET", path, query={"fileType": "application/dicom"})
    answer = function("get_instance").lambda_handler(event, None)
    headers = {name: values[0] for name, values in (answer.get("multiValueHeaders") or {}).items()}
    return int(answer["statusCode"]), headers.get("Location", "")


def _store(servers: Servers, size: int) -> tuple[str, str, str]:
    """Put an instance with so many bytes of pixel data into the PACS, never holding it; give its UIDs."""
    uids = new_uid(), new_uid(), new_uid()
    head = _header(uids, size)
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


def _header(uids: tuple[str, str, str], pixel_bytes: int) -> bytes:
    return large_header(*uids, frames=pixel_bytes // (_ROWS * _ROWS), pixel_bytes=pixel_bytes)


def large_header(study_uid: str, series_uid: str, instance_uid: str, *, frames: int, pixel_bytes: int) -> bytes:
    """Everything of a Part 10 file before the first pixel; Explicit VR Little Endian (PS3.5 §7.1.2)."""
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
            (0x00280010, "US", _ROWS),
            (0x00280011, "US", _ROWS),
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
