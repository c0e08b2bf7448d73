"""Cross-origin requests of pages in browsers (Fetch, "CORS protocol"), for the origins of ``CorsOrigins``.

The origins are a variable of the API's stage, which API Gateway puts into each event, so no function needs them in its
environment. Answers of the gateway itself (a missing credential) may be read by any page: they are the same for all.
"""

from collections.abc import Mapping
from typing import Any

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_SENT = "Authorization, Content-Type, Accept, Idempotency-Key"
_READ = "Location, Link, Retry-After"


def allowed_origin(event: Mapping[str, Any]) -> str | None:
    """Return the origin of a request from a page that may call the API; None for any other request."""
    origins = str((event.get("stageVariables") or {}).get("corsOrigins") or "").split(",")
    headers = {str(name).lower(): value for name, value in (event.get("headers") or {}).items()}
    origin = str(headers.get("origin") or "")
    return origin if origin and origin in (entry.strip() for entry in origins) else None


def is_preflight(event: Mapping[str, Any]) -> bool:
    """Return whether a browser asks beforehand what a page may send."""
    names = {str(name).lower() for name in event.get("headers") or {}}
    return event.get("httpMethod") == "OPTIONS" and "access-control-request-method" in names


def preflight(origin: str) -> dict[str, Any]:
    """Return the answer that lets a page of this origin go on."""
    answer = {"statusCode": 204, "body": "", "isBase64Encoded": False}
    headers = {"Access-Control-Allow-Methods": [_METHODS], "Access-Control-Allow-Headers": [_SENT]}
    return with_origin({**answer, "multiValueHeaders": {**headers, "Access-Control-Max-Age": ["3600"]}}, origin)


def with_origin(answer: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Return an answer that a page of this origin may read."""
    headers = dict(answer.get("multiValueHeaders") or {})
    headers |= {"Access-Control-Allow-Origin": [origin], "Access-Control-Expose-Headers": [_READ]}
    headers["Vary"] = [*headers.get("Vary", []), "Origin"]
    return {**answer, "multiValueHeaders": headers}
