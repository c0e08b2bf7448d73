"""The response with a thumbnail, and its ETag."""

import hashlib
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.conditions import caller_has
from dicom_service.edge import answer, empty
from dicom_service.thumbnails.thumbnailer import Thumbnail


def thumbnail_response(app: APIGatewayRestResolver, thumbnail: Thumbnail) -> Response[Any]:
    """Return the response with a thumbnail, or 304 if the caller has it already."""
    tag = f'"{hashlib.sha256(thumbnail.data).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=300", "X-Thumbnail": thumbnail.source}
    # A browser must not show one person what it keeps of another's.
    headers["Vary"] = "Authorization"
    if caller_has(app, tag):
        return empty(304, headers=headers)
    return answer(thumbnail.data, headers=headers, content_type=thumbnail.media_type)
