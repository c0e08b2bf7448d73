"""The errors of the service, as the caller receives them (RFC 9457 problem details).

::

    ServiceError                 500 INTERNAL_ERROR
    ├── BadRequest               400
    ├── Unauthorized             401
    ├── Forbidden                403
    ├── NotFound                 404
    ├── MethodNotAllowed         405
    ├── NotAcceptable            406
    ├── Conflict                 409
    ├── PayloadTooLarge          413
    ├── UnprocessableContent     422
    ├── PacsError              502, 503, 504: the PACS failed, not the caller
    ├── Unavailable              503: one of our own stores failed; try again
    └── SettingsError            500 MISCONFIGURED: for the operator to repair

One handler, registered on the base class (`dicom_service.edge`), turns each into an answer. `detail` and the members
never contain a value of a dataset.
"""

from collections.abc import Iterable, Mapping
from typing import Any

TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
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
    """Base of every error that becomes an answer.

    Parameters
    ----------
    detail
        One sentence for the caller; for a 5xx, what the caller can do about it.
    code
        Stable name in UPPER_SNAKE, for programs.
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
        """Return the problem body (RFC 9457 §3)."""
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
    """The request is invalid; repeated unchanged, it fails again."""

    status = 400
    default_code = "BAD_REQUEST"


class Unauthorized(ServiceError):
    """No credential, or an unknown one."""

    status = 401
    # The code of the gateway, which answers nearly all of them (docs/decisions/0019-one-code-for-401.md).
    default_code = "UNAUTHENTICATED"


class Forbidden(ServiceError):
    """A known credential without access to the resource."""

    status = 403
    default_code = "FORBIDDEN"


class NotFound(ServiceError):
    """The resource does not exist."""

    status = 404
    default_code = "NOT_FOUND"


class MethodNotAllowed(ServiceError):
    """The path is there, for other methods; ``Allow`` names them (RFC 9110 §15.5.6).

    Parameters
    ----------
    allowed
        The methods that the path takes.
    """

    status = 405
    default_code = "METHOD_NOT_ALLOWED"

    def __init__(self, allowed: Iterable[str]) -> None:
        listed = ", ".join(sorted(method.upper() for method in allowed))
        super().__init__(f"This path takes {listed}.", headers={"Allow": listed})


class NotAcceptable(ServiceError):
    """Nothing that the caller accepts can be made of the resource."""

    status = 406
    default_code = "NOT_ACCEPTABLE"


class Conflict(ServiceError):
    """The request conflicts with the current state."""

    status = 409
    default_code = "CONFLICT"


class PayloadTooLarge(ServiceError):
    """The body is larger than this route accepts."""

    status = 413
    default_code = "PAYLOAD_TOO_LARGE"


class UnprocessableContent(ServiceError):
    """A well-formed request whose content cannot be processed, such as a file that is not DICOM."""

    status = 422
    default_code = "UNPROCESSABLE"


class PacsError(ServiceError):
    """The PACS failed; `status` is 502, 503 or 504."""

    def __init__(self, detail: str, *, status: int, code: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, code=code, headers=headers)
        self.status = status


class Unavailable(ServiceError):
    """One of our own stores is temporarily unavailable; the request may be repeated."""

    status = 503
    default_code = "UNAVAILABLE"


class SettingsError(ServiceError):
    """A setting is missing or invalid; only the operator can repair it."""

    default_code = "MISCONFIGURED"
