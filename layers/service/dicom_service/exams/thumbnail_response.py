"""Thumbnails over HTTP: the parameters of a request, and the response with its ETag."""

import hashlib
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.edge import answer, empty
from dicom_service.errors import BadRequest
from dicom_service.exams.thumbnails import Thumbnail, ThumbnailRequest
from dicom_service.query import Query

DICOM = "application/dicom"
IMAGE_TYPES = ("image/jpeg", "image/png")
DEFAULT_SIZE, MIN_SIZE, MAX_SIZE = 256, 16, 1024


def parse_thumbnail_request(query: Query, *, default_type: str | None = "image/jpeg") -> ThumbnailRequest:
    """Return ``size`` and ``fileType`` of a thumbnail."""
    return ThumbnailRequest(
        size=query.integer("size", default=DEFAULT_SIZE, minimum=MIN_SIZE, maximum=MAX_SIZE),
        media_type=query.choice("fileType", IMAGE_TYPES, default=default_type),
    )


def parse_file_type(query: Query) -> str:
    """Return ``fileType`` of an instance.

    Raises
    ------
    BadRequest
        It is absent or unknown.
    """
    file_type = query.choice("fileType", (DICOM, *IMAGE_TYPES))
    query.check()
    if file_type is None:
        known = ", ".join((DICOM, *IMAGE_TYPES))
        raise BadRequest(f"fileType is required: one of {known}.", code="INVALID_PARAMETER")
    return str(file_type)


def thumbnail_response(app: APIGatewayRestResolver, thumbnail: Thumbnail) -> Response[Any]:
    """Return the response with a thumbnail, or 304 if the caller has it already."""
    tag = f'"{hashlib.sha256(thumbnail.data).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=300", "X-Thumbnail": thumbnail.source}
    # A browser must not show one person what it keeps of another's.
    headers["Vary"] = "Authorization"
    if _has(app, tag):
        return empty(304, headers=headers)
    return answer(thumbnail.data, headers=headers, content_type=thumbnail.media_type)


def _has(app: APIGatewayRestResolver, tag: str) -> bool:
    known = app.current_event.headers.get("if-none-match") or ""
    return any(entry.strip().removeprefix("W/") in (tag, "*") for entry in known.split(","))
