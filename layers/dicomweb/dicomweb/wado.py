"""Fetching from a PACS: WADO-RS metadata, instances, frames, rendered images and thumbnails (PS3.18 section 10.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import quote

from dicomweb.dataset import Dataset
from dicomweb.errors import DicomwebError, NotFound, NotSupported, PacsFault, RequestRejected
from dicomweb.multipart import MultipartReader, media_type, media_type_parameter
from dicomweb.response import limited, parse_json
from dicomweb.transport import DICOM_JSON, Response, Transport
from dicomweb.uid import check_uid

_MULTIPART_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax='
_SINGLE_DICOM = "application/dicom; transfer-syntax="
ANY_FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
"""Accepts a frame in whatever transfer syntax it is stored."""

_BULK_DATA = 'multipart/related; type="application/octet-stream"; transfer-syntax=*, */*;q=0.5'
# A file names its instance within its first bytes.
_BEGINNING = 4096
# An answer without metadata: nothing, or a list without datasets.
_NOTHING = re.compile(rb"\s*+(?:\[\s*+\]|null)?+\s*+")
_MAX_EPILOGUE = 64 * 1024
_NOT_BYTES = frozenset(("text/html", "text/plain", "application/json", "application/dicom+json"))


@dataclass(frozen=True)
class Frame:
    """One frame as it is stored.

    Parameters
    ----------
    data
        Pixel data, compressed unless the media type is application/octet-stream.
    media_type
        Its media type.
    transfer_syntax_uid
        Its transfer syntax, where the PACS names it.
    """

    data: bytes
    media_type: str
    transfer_syntax_uid: str | None


@dataclass(frozen=True)
class Rendered:
    """An image rendered by the PACS.

    Parameters
    ----------
    data
        The encoded image.
    media_type
        Its media type.
    """

    data: bytes
    media_type: str


class InstanceStream:
    """A DICOM file on its way from the PACS; a context manager, to be iterated once.

    Attributes
    ----------
    content_type
        Media type that the PACS names for the file.
    """

    def __init__(self, response: Response) -> None:
        self._response = response
        self._reader: MultipartReader | None = None
        self.content_type = response.headers.get("Content-Type", "application/dicom")
        kind = media_type(self.content_type)
        if kind.startswith("multipart/"):
            self._reader = MultipartReader(response.iter_bytes(), self.content_type)
            headers = self._reader.next_part()
            if headers is None:
                raise NotFound("the PACS answered without an instance")
            self.content_type = headers.get("content-type", "application/dicom")
            kind = media_type(self.content_type)
        if kind in _NOT_BYTES:
            raise PacsFault("the PACS answered something that is not DICOM", status=response.status)

    def iter_bytes(self, chunk: int = 1024 * 1024) -> Iterator[bytes]:
        """Yield the file in pieces of ``chunk`` bytes, the last one shorter.

        Memory holds two of them while one is put together, and then none but the caller's.

        Parameters
        ----------
        chunk
            Bytes.
        """
        pending = bytearray()
        for piece in self._pieces():
            rest = memoryview(piece)
            while len(pending) + len(rest) >= chunk:
                room = chunk - len(pending)
                pending += rest[:room]
                rest, whole = rest[room:], bytes(pending)
                pending.clear()
                yield whole
                del whole
            pending += rest
        if pending:
            yield bytes(pending)

    def read(self) -> bytes:
        """Return the whole at once, without a copy where the answer was read already."""
        return b"".join(self._pieces())

    def _pieces(self) -> Iterator[bytes]:
        if self._reader is None:
            yield from self._response.iter_bytes()
            return
        yield from self._reader.iter_part()
        self._reader.finish(_MAX_EPILOGUE)

    def close(self) -> None:
        """Release the connection, or close it when the file was not read to its end."""
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PickedStream(InstanceStream):
    """One instance of a multi-part answer, recognized by the UID near the beginning of its file.

    That is in the file meta information (PS3.10 §7.1) or, where a writer left it out there, in the dataset.
    """

    def __init__(self, response: Response, instance_uid: str) -> None:
        super().__init__(response)
        if self._reader is None:
            raise PacsFault("the PACS answered a series with something else than its parts", status=response.status)
        uid = instance_uid.encode() + b"\0" * (len(instance_uid) % 2)
        tag, length = b"\x08\x00\x18\x00", len(uid)
        self._names = (
            b"\x02\x00\x03\x00UI" + length.to_bytes(2, "little") + uid,
            tag + b"UI" + length.to_bytes(2, "little") + uid,
            tag + length.to_bytes(4, "little") + uid,
        )
        self._head, self._rest = self._find(self._reader)

    def _find(self, reader: MultipartReader) -> tuple[bytes, Iterator[bytes]]:
        while True:
            pieces = reader.iter_part()
            head = bytearray()
            for piece in pieces:
                head += piece
                if len(head) >= _BEGINNING:
                    break
            if any(name in head[:_BEGINNING] for name in self._names):
                return bytes(head), pieces
            for _ in pieces:
                pass
            if reader.next_part() is None:
                raise NotFound("the series does not have this instance")

    def _pieces(self) -> Iterator[bytes]:
        yield self._head
        yield from self._rest


class Wado:
    """The retrieve service of one PACS.

    Parameters
    ----------
    transport
        Sends the requests.
    url
        Base URL of the service.
    """

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport = transport
        self._url = url.rstrip("/")

    def metadata(self, study_uid: str, series_uid: str | None = None, instance_uid: str | None = None) -> bytes:
        """Fetch the datasets of a study, a series or an instance without their bulk data, for `parse_datasets`.

        Raises
        ------
        NotFound
            There is nothing under these UIDs.
        DicomwebError
            As :meth:`Transport.request` and :meth:`Response.raise_for_status`.
        """
        url = f"{self._url}{resource_path(study_uid, series_uid, instance_uid)}/metadata"
        response = self._transport.request("GET", url, headers={"Accept": DICOM_JSON})
        response.raise_for_status()
        if _NOTHING.fullmatch(response.content):
            raise NotFound("the PACS answered without metadata")
        return response.content

    def instance(
        self, study_uid: str, series_uid: str, instance_uid: str, transfer_syntax: str = "*"
    ) -> InstanceStream:
        """Open an instance, by default as it is stored, in whatever transfer syntax."""
        url = self._resource(study_uid, series_uid, instance_uid)
        accept = _MULTIPART_DICOM + transfer_syntax
        response = self._transport.request("GET", url, headers={"Accept": accept}, stream=True)
        if response.status in (400, 406, 415):
            response.close()
            accept = _SINGLE_DICOM + transfer_syntax
            response = self._transport.request("GET", url, headers={"Accept": accept}, stream=True)
        return self._opened(response)

    def instance_of_series(self, study_uid: str, series_uid: str, instance_uid: str) -> InstanceStream:
        """Open an instance from the answer for its series, where the PACS does not return it under its own path.

        Raises
        ------
        NotFound
            There is no such series, or not this instance in it.
        DicomwebError
            As :meth:`Transport.request` and :meth:`Response.raise_for_status`.
        """
        url = self._url + resource_path(study_uid, series_uid)
        response = self._transport.request("GET", url, headers={"Accept": _MULTIPART_DICOM + "*"}, stream=True)
        response.raise_for_status()
        try:
            return PickedStream(response, instance_uid)
        except DicomwebError:
            response.close()
            raise

    def frame(self, study_uid: str, series_uid: str, instance_uid: str, number: int, accept: str = ANY_FRAME) -> Frame:
        """Fetch one frame, by default as it is stored.

        Parameters
        ----------
        study_uid, series_uid, instance_uid
            The instance.
        number
            From 1.
        accept
            Media types to ask for.

        Raises
        ------
        NotFound
            There is no such frame.
        DicomwebError
            As :meth:`Transport.request` and :meth:`Response.raise_for_status`.
        """
        url = f"{self._resource(study_uid, series_uid, instance_uid)}/frames/{number:d}"
        response = self._transport.request("GET", url, headers={"Accept": accept})
        if response.status == 400:  # Orthanc's status for a number beyond the last frame
            raise NotFound("the PACS has no such frame (HTTP 400)")
        with self._opened(response) as stream:
            return _frame(stream.content_type, stream.read())

    def bulk_data(self, uri: str, study_uid: str) -> list[Frame]:
        """Fetch the value behind a BulkDataURI of a study's metadata, in one part or several.

        Parameters
        ----------
        uri
            As the PACS names it. Only its path counts, from ``/studies/`` on: the request goes to the configured
            address, whatever host the PACS believes to have.
        study_uid
            The study that the path has to be of.

        Raises
        ------
        NotSupported
            The URI is not below the study.
        NotFound
            There is nothing behind it.
        DicomwebError
            As :meth:`Transport.request` and :meth:`Response.raise_for_status`.
        """
        start = f"/studies/{check_uid(study_uid)}/"
        at = uri.find(start)
        if at < 0 or ".." in uri[at:] or not uri.isascii() or not uri.isprintable():
            raise NotSupported("the PACS links bulk data to another place than its study")
        response = self._transport.request("GET", self._url + uri[at:], headers={"Accept": _BULK_DATA}, stream=True)
        response.raise_for_status()
        kind = response.headers.get("Content-Type", "application/octet-stream")
        try:
            if not media_type(kind).startswith("multipart/"):
                return [_frame(kind, response.read())]
            parts = []
            reader = MultipartReader(limited(response.iter_bytes()), kind)
            while (headers := reader.next_part()) is not None:
                parts.append(
                    _frame(headers.get("content-type", "application/octet-stream"), b"".join(reader.iter_part()))
                )
            return parts
        finally:
            response.close()

    def image(self, resource: str, parameters: dict[str, str], kind: str) -> Rendered:
        """Fetch an image rendered by the PACS.

        Parameters
        ----------
        resource
            Path of the resource, with ``/rendered`` or ``/thumbnail``.
        parameters
            Query.
        kind
            Media type wanted.

        Raises
        ------
        NotFound
            The PACS has nothing there: no such object, or no such service.
        NotSupported
            The PACS does not make such images.
        DicomwebError
            As :meth:`Transport.request` and :meth:`Response.raise_for_status`.
        """
        query = "&".join(f"{name}={quote(text, safe=',')}" for name, text in parameters.items())
        url = f"{self._url}{resource}" + (f"?{query}" if query else "")
        response = self._transport.request("GET", url, headers={"Accept": kind})
        try:
            response.raise_for_status()
        except RequestRejected as error:
            raise NotSupported(
                f"the PACS does not make this image (HTTP {error.status})", status=error.status
            ) from error
        if not response.content:
            raise NotFound("the PACS answered without an image")
        if not response.media_type.startswith("image/"):
            raise PacsFault("the PACS answered something that is not an image", status=response.status)
        return Rendered(response.content, response.media_type)

    def _opened(self, response: Response) -> InstanceStream:
        response.raise_for_status()
        try:
            if response.status == 204:
                raise NotFound("the PACS answered without content")
            return InstanceStream(response)
        except DicomwebError:
            response.close()
            raise

    def _resource(self, study_uid: str, series_uid: str, instance_uid: str) -> str:
        return self._url + resource_path(study_uid, series_uid, instance_uid)


def parse_datasets(text: bytes) -> list[Dataset]:
    """Return the datasets of metadata.

    Raises
    ------
    NotFound
        There are none.
    PacsFault
        They are no datasets in JSON.
    """
    found = parse_json(text)
    if not isinstance(found, list) or not all(isinstance(dataset, dict) for dataset in found):
        raise PacsFault("the PACS answered metadata that are no datasets")
    if not found:
        raise NotFound("the PACS answered no metadata")
    return found


def _frame(content_type: str, data: bytes) -> Frame:
    return Frame(data, media_type(content_type), media_type_parameter(content_type, "transfer-syntax"))


def resource_path(study_uid: str, series_uid: str | None = None, instance_uid: str | None = None) -> str:
    """Return the path of a study, series or instance below the base URL (PS3.18 table 10.4.1-1).

    Raises
    ------
    InvalidUid
        One of them is no UID.
    ValueError
        An instance is named without its series.
    """
    path = f"/studies/{check_uid(study_uid)}"
    if series_uid is not None:
        path += f"/series/{check_uid(series_uid)}"
    if instance_uid is not None:
        if series_uid is None:
            raise ValueError("an instance is named below its series")
        path += f"/instances/{check_uid(instance_uid)}"
    return path
