"""Everything that can go wrong, as it is told to the caller (RFC 9457 problem details).

::

    ServiceError                 500 INTERNAL_ERROR
    ├── BadRequest               400
    ├── Unauthorized             401
    ├── Forbidden                403
    ├── NotFound                 404
    ├── Conflict                 409
    ├── PayloadTooLarge          413
    ├── UnprocessableContent     422
    ├── PacsTrouble              502, 503, 504: the PACS, never the caller
    ├── Unavailable              503: one of our own stores, try again
    └── SettingsError            500 MISCONFIGURED: the operator's to repair

One handler, registered on the base class (`dicom_service.edge`), turns any of them into an answer. Text in `detail`
and in the members never holds a value out of a dataset.
"""

from collections.abc import Mapping
from typing import Any

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}


class ServiceError(Exception):
    """Base of every error that has an answer of its own.

    Parameters
    ----------
    detail
        One sentence for the caller; for a 5xx, what the caller can do about it.
    code
        Stable name in UPPER_SNAKE by which programs tell errors apart.
    headers
        Extra answer headers, such as ``Retry-After``.
    members
        Extension members of the problem body, such as ``errors`` (RFC 9457 §3.2).
    """

    status = 500
    default_code = "INTERNAL_ERROR"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.headers = dict(headers or {})
        self.members = members

    def problem(self, request_id: str) -> dict[str, Any]:
        """Give the problem body of this error (RFC 9457 §3)."""
        return {
            "type": f"urn:dicom-service:error:{self.code}",
            "title": TITLES[self.status],
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "requestId": request_id,
            **self.members,
        }


class BadRequest(ServiceError):
    """The request itself is wrong; sent again unchanged it fails again."""

    status = 400
    default_code = "BAD_REQUEST"


class Unauthorized(ServiceError):
    """No credential, or one that nobody knows."""

    status = 401
    # The code that the gateway gives, which answers nearly all of them (docs/decisions/0019-one-code-for-401.md).
    default_code = "UNAUTHENTICATED"


class Forbidden(ServiceError):
    """A known credential that does not reach what was asked for."""

    status = 403
    default_code = "FORBIDDEN"


class NotFound(ServiceError):
    """What the path names does not exist."""

    status = 404
    default_code = "NOT_FOUND"


class Conflict(ServiceError):
    """The request does not fit the present state."""

    status = 409
    default_code = "CONFLICT"


class PayloadTooLarge(ServiceError):
    """More than this route takes."""

    status = 413
    default_code = "PAYLOAD_TOO_LARGE"


class UnprocessableContent(ServiceError):
    """Well-formed HTTP whose content cannot be used, such as a file that is not DICOM."""

    status = 422
    default_code = "UNPROCESSABLE"


class PacsTrouble(ServiceError):
    """The PACS did not do its part; `status` is 502, 503 or 504."""

    def __init__(self, detail: str, *, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, code=code, headers=headers)
        self.status = status


class Unavailable(ServiceError):
    """One of our own stores refuses for the moment; the same request may be sent again."""

    status = 503
    default_code = "UNAVAILABLE"


class SettingsError(ServiceError):
    """A setting is missing or makes no sense; only the operator can repair it."""

    default_code = "MISCONFIGURED"
