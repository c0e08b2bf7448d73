"""A ZIP that is written as a stream, straight into the parts of a multipart upload, and can be gone on with later.

`zipfile` writes it as to a pipe: sizes and checksums stand behind each entry. What it needs to go on is the list of the
entries so far and the position.
"""

import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any

from dicom_service import aws

# S3 takes 10,000 parts of 5 MiB and more: 160 GB in all.
PART = 16 * 1024 * 1024
# What is tried of a file before it is compressed, and down to which part of it that must come.
_SAMPLE, _WORTH_IT = 8 * 1024, 0.9
_FIELDS = ("filename", "date_time", "compress_type", "flag_bits", "CRC", "compress_size", "file_size", "header_offset")
# Owner writes, all read: unpacked without it, nobody may open a file.
_MODE = 0o644 << 16
_MOST_PATIENTS = 15
_NOT_WRITTEN = "The archive cannot be written at the moment; it is tried again."

Date = tuple[int, int, int, int, int, int]


class MultipartUpload:
    """A multipart upload; one part is on its way while the next is filled.

    Parameters
    ----------
    bucket, key
        The object.
    upload_id, etags
        What was sent before.
    """

    def __init__(self, bucket: str, key: str, upload_id: str, etags: Iterable[str] = ()) -> None:
        self._target: Any = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        self.upload_id = upload_id
        self._etags = list(etags)
        self._thread = ThreadPoolExecutor(1)
        self._sending: Future[str] | None = None

    @classmethod
    def begin(cls, bucket: str, key: str, patients: str = "") -> "MultipartUpload":
        """Begin an upload.

        Parameters
        ----------
        patients
            Hashes of the patients that it is about, divided by spaces, by which an erasure finds it.
        """
        # S3 keeps 2 KB with an object.
        metadata = {"patient": " ".join(patients.split()[:_MOST_PATIENTS])}
        with aws.errors(_NOT_WRITTEN):
            begun = aws.s3().create_multipart_upload(
                Bucket=bucket, Key=key, ContentType="application/zip", Metadata=metadata
            )
        return cls(bucket, key, begun["UploadId"])

    @property
    def etags(self) -> list[str]:
        """What S3 answered to each part, once all are there."""
        self._wait()
        return list(self._etags)

    def send(self, part: bytes) -> None:
        """Send the next part, once the one before has arrived."""
        self._wait()
        self._sending = self._thread.submit(self._send, len(self._etags) + 1, part)

    def _send(self, number: int, part: bytes) -> str:
        with aws.errors(_NOT_WRITTEN):
            return str(aws.s3().upload_part(**self._target, PartNumber=number, Body=part)["ETag"])

    def _wait(self) -> None:
        if self._sending:
            sending, self._sending = self._sending, None
            self._etags.append(sending.result())

    def complete(self) -> None:
        """Make one object of the parts; again is harmless once it is there.

        Raises
        ------
        Unavailable
            The bucket fails.
        """
        parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(self.etags, 1)]
        try:
            with aws.errors(_NOT_WRITTEN):
                aws.s3().complete_multipart_upload(**self._target, MultipartUpload={"Parts": parts})
        except aws.Missing:
            with aws.errors(_NOT_WRITTEN):
                aws.s3().head_object(Bucket=self._target["Bucket"], Key=self._target["Key"])

    def close(self) -> None:
        """Leave the upload as it is."""
        self._thread.shutdown()


class PartSink:
    """What `zipfile` writes to: a file that is not seekable, and cuts what it gets into parts.

    Parameters
    ----------
    upload
        Takes the parts.
    position
        Bytes that were written before.
    tail
        Those of them that did not fill a part.
    """

    def __init__(self, upload: MultipartUpload, position: int = 0, tail: bytes = b"") -> None:
        self._upload = upload
        self._position = position
        self._pending = bytearray(tail)
        self._open = True

    def tell(self) -> int:
        """Return how many bytes were written, by earlier invocations too."""
        return self._position

    def write(self, data: bytes) -> int:
        """Write bytes; behind `close` they are dropped, such as those that `zipfile` writes when it is abandoned."""
        if self._open:
            self._pending += data
            self._position += len(data)
            while len(self._pending) >= PART:
                self._upload.send(bytes(memoryview(self._pending)[:PART]))
                del self._pending[:PART]
        return len(data)

    def flush(self) -> None:
        """Do nothing: only whole parts are sent."""

    @property
    def tail(self) -> bytes:
        """The bytes that do not fill a part yet."""
        return bytes(self._pending)

    def send_tail(self) -> None:
        """Send the last part, which may be short."""
        if self._pending:
            self._upload.send(bytes(self._pending))
            self._pending.clear()

    def close(self) -> None:
        """Drop what is written from now on."""
        self._open = False


class ZipStream:
    """The ZIP that is being written.

    Parameters
    ----------
    sink
        Where it goes.
    date
        Of every entry.
    entries
        Those that are in it already, as `entries` gave them.
    """

    def __init__(self, sink: PartSink, date: Date, entries: Sequence[Sequence[Any]] = ()) -> None:
        self._sink = sink
        self._date = date
        self._zip = zipfile.ZipFile(sink, "w")
        for values in entries:
            info = zipfile.ZipInfo(values[0], tuple(values[1]))
            info.external_attr = _MODE
            for name, value in zip(_FIELDS[2:], values[2:], strict=True):
                setattr(info, name, value)
            self._zip.filelist.append(info)
            self._zip.NameToInfo[info.filename] = info

    @property
    def entries(self) -> list[list[Any]]:
        """What is needed to go on with it."""
        return [[getattr(info, name) for name in _FIELDS] for info in self._zip.filelist]

    def add(self, name: str, pieces: Iterable[bytes], *, size: int | None = None) -> None:
        """Add a file.

        Parameters
        ----------
        size
            Its length, where it is known.
        """
        left = iter(pieces)
        first = next(left, b"")
        info = zipfile.ZipInfo(name, self._date)
        # Deflate says itself where it ends, as the readers of streams need it; level 0 only puts it into blocks.
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = 1 if _shrinks(first) else 0  # type: ignore[attr-defined]
        info.external_attr = _MODE
        info.file_size = size or 0
        with self._zip.open(info, "w", force_zip64=size is None) as entry:
            for piece in chain((first,), left):
                entry.write(piece)

    def close(self) -> int:
        """Write the table of contents, and return the size of the ZIP."""
        self._zip.close()
        self._sink.send_tail()
        return self._sink.tell()

    def abandon(self) -> None:
        """Write nothing any more."""
        self._sink.close()


def _shrinks(piece: bytes) -> bool:
    """Return whether a file is worth compressing, by a sample: not noise, nor what is compressed already."""
    start = max(0, len(piece) - _SAMPLE) // 2
    sample = piece[start : start + _SAMPLE]
    return len(zlib.compress(sample, 1)) < _WORTH_IT * len(sample)


def pieces_of(file: Any, length: int = 1024 * 1024) -> Iterator[bytes]:
    """Yield a file from its start."""
    file.seek(0)
    while piece := file.read(length):
        yield piece
