"""Answers of these services: JSON that is compressed, multipart bodies, and what does not fit into an answer."""

import gzip
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.audit.notes import note_rows
from dicom_service.conditions import caller_has, takes_gzip
from dicom_service.edge import answer, base_url, empty, to_json
from dicom_service.errors import BadRequest
from dicom_service.exams.retrieve import LARGEST_ANSWER as LARGEST_FILE
from dicom_service.origin_server.accept import DICOM_JSON
from dicom_service.origin_server.shared_cache import SharedCache
from dicom_service.origin_server.study_state import StudyState

if TYPE_CHECKING:
    from dicomweb.dataset import SearchResult

# Boundaries and headers of parts come on top of what is counted.
LARGEST_ANSWER = LARGEST_FILE - 100_000
KEPT_BY_BROWSER = 300
_LEVEL = 6


@dataclass(frozen=True)
class Part:
    """One part of a multipart body, or a body by itself.

    Parameters
    ----------
    content_type
        Media type with its parameters.
    location
        URL of the resource that the part is (PS3.18 §8.6.1.2.1).
    version
        Names the data where that is known, so that they need not be read for it.
    """

    data: bytes
    content_type: str
    location: str = ""
    version: str = ""


@dataclass(frozen=True)
class Delivery:
    """How a body is delivered: with what headers, and where it is put when it does not fit into an answer."""

    cache: SharedCache
    state: StudyState
    headers: Mapping[str, str] = field(default_factory=dict)


def root_url(app: APIGatewayRestResolver) -> str:
    """Return the URL of these services as callers reach them, without a trailing slash."""
    return f"{base_url(app)}/dicomweb"


def private(max_age: int) -> dict[str, str]:
    """Return the headers of what a browser may keep for its user, but show to no other."""
    kept = f"max-age={max_age}" if max_age else "no-cache"
    return {"Cache-Control": f"private, {kept}", "Vary": "Authorization, Accept, Accept-Encoding"}


def rows_answer(app: APIGatewayRestResolver, found: "SearchResult") -> Response[Any]:
    """Return an answer with the rows of a search, compressed where the caller takes that; 204 without any.

    Rows at the end are left out where they do not fit. A warning says that there are more (PS3.18 §8.3.4.4), which the
    caller gets with an offset behind those that it has.

    Raises
    ------
    BadRequest
        Not even one row fits.
    """
    shown = {"Vary": "Authorization, Accept, Accept-Encoding"}
    if not found.datasets:
        return empty(204, headers=shown)
    compress = takes_gzip(app)
    body, count = _as_many_as_fit(found.datasets, compress)
    note_rows(found.datasets[:count])
    if compress:
        shown["Content-Encoding"] = "gzip"
    if found.more or count < len(found.datasets):
        shown["Warning"] = '299 dicom-service "There are additional results that can be requested"'
    return answer(body, headers=shown, content_type=DICOM_JSON)


def _as_many_as_fit(rows: Sequence[Any], compress: bool) -> tuple[bytes, int]:
    """Return the body of an answer with the first rows, and how many these are."""
    count = len(rows)
    while True:
        body = to_json(rows[:count]).encode()
        if compress:
            body = gzip.compress(body, _LEVEL)
        if len(body) <= LARGEST_ANSWER:
            return body, count
        if count == 1:
            detail = "One row does not fit into an answer; name fewer attributes."
            problem = {"field": "includefield", "problem": "too much for one answer"}
            raise BadRequest(detail, code="INVALID_PARAMETER", errors=[problem])
        # Rows are of about one length; where the first are longer, another round takes more of them away.
        count = max(1, min(count - 1, int(count * 0.95 * LARGEST_ANSWER / len(body))))


def compressed_answer(app: APIGatewayRestResolver, compressed: bytes, delivery: Delivery) -> Response[Any]:
    """Return an answer with a body that is compressed already, for callers that take it so and for the others."""
    if takes_gzip(app) and len(compressed) <= LARGEST_ANSWER:
        headers = {**delivery.headers, "Content-Encoding": "gzip"}
        return answer(compressed, headers=headers, content_type=DICOM_JSON)
    return deliver(gzip.decompress(compressed), DICOM_JSON, delivery)


def deliver(body: bytes, content_type: str, delivery: Delivery) -> Response[Any]:
    """Return an answer with a body, or one that leads to it where it is too long."""
    if len(body) <= LARGEST_ANSWER:
        return answer(body, headers=delivery.headers, content_type=content_type)
    key = f"{delivery.state.folder}answers/{hashlib.sha256(body).hexdigest()}"
    url = delivery.cache.hand_over(key, body, content_type)
    return empty(303, headers={"Location": url, "Vary": "Authorization, Accept"})


def deliver_parts(
    app: APIGatewayRestResolver, parts: Sequence[Part], is_multipart: bool, delivery: Delivery
) -> Response[Any]:
    """Return an answer with parts as the caller takes them, and 304 where it has them already."""
    tag = etag(*(text for part in parts for text in (part.content_type, part.version or part.data)), str(is_multipart))
    delivery = replace(delivery, headers={**delivery.headers, "ETag": tag})
    if caller_has(app, tag):
        return empty(304, headers=delivery.headers)
    body, content_type = multipart(parts) if is_multipart else (parts[0].data, parts[0].content_type)
    return deliver(body, content_type, delivery)


def multipart(parts: Sequence[Part]) -> tuple[bytes, str]:
    """Return a multipart/related body (RFC 2387) and its Content-Type, which names the type of the first part."""
    boundary = secrets.token_hex(16)
    pieces: list[bytes] = []
    for part in parts:
        pieces += [_head_of_part(part, len(part.data), boundary), part.data, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), _content_type(parts[0], boundary)


def multipart_frame(part: Part, length: int) -> tuple[bytes, bytes, str]:
    """Return what comes before and behind a part of this length in a body of its own, and its Content-Type."""
    boundary = secrets.token_hex(16)
    return _head_of_part(part, length, boundary), f"\r\n--{boundary}--\r\n".encode(), _content_type(part, boundary)


def _head_of_part(part: Part, length: int, boundary: str) -> bytes:
    head = f"--{boundary}\r\nContent-Type: {part.content_type}\r\nContent-Length: {length}\r\n"
    if part.location:
        head += f"Content-Location: {part.location}\r\n"
    return f"{head}\r\n".encode()


def _content_type(part: Part, boundary: str) -> str:
    return f'multipart/related; type="{part.content_type.partition(";")[0]}"; boundary={boundary}'


def etag(*parts: str | bytes) -> str:
    """Return the entity tag of a representation that these parts decide."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else part.encode())
        digest.update(b"\0")
    return f'"{digest.hexdigest()[:32]}"'
