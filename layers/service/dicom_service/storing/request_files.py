"""The files of an upload request: ``multipart/form-data`` (RFC 7578) or one bare ``application/dicom`` body.

The form parser is imported for the first form, so that a bare file does not pay for it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dicom_service.errors import BadRequest

if TYPE_CHECKING:
    from multipart import MultipartSegment

MAX_FILES = 1000
_BARE = ("application/dicom", "application/octet-stream")


@dataclass(frozen=True)
class UploadedFile:
    """One file as it was sent.

    Parameters
    ----------
    name
        The caller's name for it, or ``file 3`` by its position in the request; returned only to the caller.
    content
        Its bytes.
    """

    name: str
    content: bytes = field(repr=False)


def read_files(content_type: str, body: bytes) -> list[UploadedFile]:
    """Return the files of a request, whatever the names of the form fields.

    Parameters
    ----------
    content_type
        Value of the Content-Type header.
    body
        The request body.

    Raises
    ------
    BadRequest
        Another content type, a multipart body that cannot be read, no file at all, or more than a thousand.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in _BARE:
        files = [UploadedFile("file 1", body)] if body else []
    elif media_type == "multipart/form-data":
        files = _form_files(content_type, body)
    else:
        raise BadRequest(
            "Send multipart/form-data with one or more DICOM files, or one file as application/dicom.",
            code="UNSUPPORTED_CONTENT_TYPE",
        )
    if not files:
        raise BadRequest("The request has no file.", code="NO_FILE")
    return files


def _form_files(content_type: str, body: bytes) -> list[UploadedFile]:
    from multipart import MultipartError, parse_options_header

    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not boundary:
        raise BadRequest("The multipart body has no boundary.", code="INVALID_MULTIPART")
    files = []
    try:
        for number, (segment, content) in enumerate(_segments(boundary, body), 1):
            files.append(UploadedFile(_shown(segment.filename) or f"file {number}", content))
    except MultipartError as error:
        raise BadRequest("The multipart body cannot be read.", code="INVALID_MULTIPART") from error
    return files


def _segments(boundary: str, body: bytes) -> "Iterator[tuple[MultipartSegment, bytes]]":
    """Yield the files among the form fields, each copied once: the parser gets the body whole and slices it."""
    from multipart import MultipartSegment, PushMultipartParser

    with PushMultipartParser(boundary, content_length=len(body), max_segment_count=MAX_FILES) as parser:
        segment: MultipartSegment | None = None
        pieces: list[bytes] = []
        for event in parser.parse(body):
            if isinstance(event, MultipartSegment):
                segment, pieces = event, []
            elif event:
                pieces.append(event)
            elif segment and (segment.filename is not None or (segment.content_type or "").startswith("application/")):
                yield segment, b"".join(pieces)


def _shown(filename: str | None) -> str:
    """Return a file name without path and control characters, fit for a response."""
    name = (filename or "").replace("\\", "/").rsplit("/", 1)[-1]
    return "".join(character for character in name if character.isprintable())[:200]
