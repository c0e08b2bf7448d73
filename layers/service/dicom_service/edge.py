"""The HTTP edge: a resolver that maps errors to answers in one place, and readers for request bodies.

A function's module stays small::

    app = create_app()

    @app.get("/uid")
    def get_uid() -> Response:
        query = Query(app, "count")
        count = query.integer("count", default=1, minimum=1, maximum=10_000)
        query.check()
        return answer({"uids": uid_registry().take(count)})

    lambda_handler = serve(app)
"""

import binascii
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware

from dicom_service import log
from dicom_service.auth.route_scope import enforce_route_scope
from dicom_service.base_path import without_base_path
from dicom_service.conditions import takes_gzip
from dicom_service.cors import allowed_origin, is_preflight, preflight, with_origin
from dicom_service.dependencies import edge_settings
from dicom_service.errors import BadRequest, NotFound, PayloadTooLarge, ServiceError
from dicomweb.uid import is_uid

logger = log.get_logger()

PROBLEM = "application/problem+json"
# Our own bodies need three levels; callbacks keep whatever the PACS sends.
DEEPEST_BODY = 32
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORTH_COMPRESSING = 1024
NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def create_app() -> APIGatewayRestResolver:
    """Return a resolver that answers every error with a problem body (RFC 9457)."""
    app = APIGatewayRestResolver(serializer=to_json)
    app.use(middlewares=[_enforce_route_scope])

    @app.exception_handler(ServiceError)  # type: ignore[untyped-decorator]
    def expected(error: ServiceError) -> Response[str]:
        if error.status >= 500:
            logger.error("request failed", extra={"code": error.code, **log.describe(error)})
        return _problem(app, error)

    @app.exception_handler(Exception)  # type: ignore[untyped-decorator]
    def unexpected(error: Exception) -> Response[str]:
        logger.error("unexpected error", extra=log.describe(error))
        return _problem(app, ServiceError("Internal error; try again, and quote the requestId if it persists."))

    @app.not_found
    def no_route(_: NotFoundError) -> Response[str]:
        # The gateway sends known routes only, so a path that does not match has an invalid parameter.
        for name, value in (app.current_event.path_parameters or {}).items():
            if name.endswith("UID") and not is_uid(value):
                return _problem(app, _bad_uid(name))
        return _problem(app, NotFound("There is no such route.", code="NO_SUCH_ROUTE"))

    return app


def _enforce_route_scope(app: APIGatewayRestResolver, next_middleware: NextMiddleware) -> Any:
    enforce_route_scope(app.current_event.raw_event)
    return next_middleware(app)


def serve(app: APIGatewayRestResolver) -> Handler:
    """Return the Lambda handler of an app: no request is served that is not recorded (docs/audit.md)."""
    # Not for `serve_open`: it brings the SDK of AWS.
    from dicom_service.audit.dependencies import recorder

    def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(requestId=request_id(event))
        try:
            pending = recorder().begin(event)
            answered = app.resolve(without_base_path(event), context)
            recorder().finish(pending, answered["statusCode"])
        except ServiceError as error:
            logger.error("request not served", extra={"code": error.code, **log.describe(error)})
            return _unrecorded(event, error)
        return answered

    return _for_pages(lambda_handler)


def serve_open(app: APIGatewayRestResolver) -> Handler:
    """Return the Lambda handler of an app behind whose routes nothing of a patient is: nothing is recorded."""

    def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        logger.append_keys(requestId=request_id(event))
        return app.resolve(without_base_path(event), context)

    return _for_pages(lambda_handler)


def _for_pages(handler: Handler) -> Handler:
    """Return a handler that also answers pages of the origins that may call the API."""

    def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        origin = allowed_origin(event)
        if origin and is_preflight(event):
            return preflight(origin)
        answered = handler(event, context)
        return with_origin(answered, origin) if origin else answered

    return lambda_handler


def _unrecorded(event: Mapping[str, Any], error: ServiceError) -> dict[str, Any]:
    headers = {"Content-Type": PROBLEM, **NO_STORE, **error.headers}
    return {
        "statusCode": error.status,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "body": to_json(error.problem(request_id(event))),
        "isBase64Encoded": False,
    }


def request_id(event: Mapping[str, Any]) -> str:
    """Return the gateway's id of this request."""
    return str(event.get("requestContext", {}).get("requestId", ""))


def _problem(app: APIGatewayRestResolver, error: ServiceError) -> Response[str]:
    body = to_json(error.problem(request_id(app.current_event.raw_event)))
    return Response(error.status, PROBLEM, body, headers={**NO_STORE, **error.headers})


def to_json(value: Any) -> str:
    """Serialize compactly, without escaping non-ASCII text."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    # A PACS may send lone surrogates: valid as JSON escapes, but not encodable as UTF-8.
    if not text.isascii() and _SURROGATE.search(text):
        return json.dumps(value, separators=(",", ":"))
    return text


def answer(
    body: Any, status: int = 200, *, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> Response[Any]:
    """Return an answer with a JSON body, or with bytes unchanged."""
    shown = {**NO_STORE, **(headers or {})}
    if not isinstance(body, bytes):
        return Response(status, content_type, to_json(body), headers=shown)
    # Powertools would encode it with the standard library, which takes longer than the rest of a frame's answer.
    import pybase64

    response: Response[Any] = Response(status, content_type, pybase64.b64encode_as_string(body), headers=shown)
    response.base64_encoded = True
    return response


def compressible_answer(
    app: APIGatewayRestResolver,
    value: Any,
    *,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> Response[str]:
    """Return an answer with a JSON body, compressed by gzip where it is long and the caller takes that."""
    body = to_json(value)
    compress = len(body) >= _WORTH_COMPRESSING and takes_gzip(app)
    shown = {**NO_STORE, "Vary": "Accept-Encoding", **(headers or {})}
    return Response(200, content_type, body, headers=shown, compress=compress)


def empty(status: int = 204, *, headers: Mapping[str, str] | None = None) -> Response[str]:
    """Return an answer with an empty body; the local gateway fails on None."""
    return Response(status, None, "", headers={**NO_STORE, **(headers or {})})


def body_bytes(app: APIGatewayRestResolver, limit: int) -> bytes:
    """Return the request body as it was sent.

    Raises
    ------
    BadRequest
        The gateway's base64 cannot be decoded.
    PayloadTooLarge
        The body is longer than `limit` bytes.
    """
    raw = app.current_event.raw_event.get("body") or ""
    if not app.current_event.raw_event.get("isBase64Encoded"):
        body = raw.encode()
    else:
        # Several times as fast as the standard library, whose decoder took longer than the rest of an upload.
        import pybase64

        try:
            body = pybase64.b64decode(raw, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest("The body is not valid base64.") from error
    if len(body) > limit:
        raise PayloadTooLarge(f"The body has {len(body)} bytes; this route accepts {limit}.", limit=limit)
    return body


def json_body(app: APIGatewayRestResolver, limit: int = 1_000_000) -> dict[str, Any]:
    """Read a JSON object from the request body.

    Raises
    ------
    BadRequest
        It is not JSON, not UTF-8, or not an object.
    PayloadTooLarge
        The body is longer than `limit` bytes.
    """
    content = body_bytes(app, limit)
    try:
        # json.loads of bytes would accept encoded surrogates.
        body = json.loads(content.decode("utf-8-sig"), parse_constant=_finite, parse_float=_number)
        _check_values(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not valid JSON in UTF-8.", code="NOT_JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.", code="NOT_JSON")
    return body


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a number of JSON")
    return number


def _number(text: str) -> float:
    """Read a number with a point or an exponent: 194.0 is an integer to JSON Schema, and so to the contract."""
    number = _finite(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _check_values(body: Any) -> None:
    """Reject what no store and no answer can hold: lone surrogates, NUL, and deep nesting.

    Raises
    ------
    ValueError
        One of these was found.
    """
    level = [body]
    for _ in range(DEEPEST_BODY):
        texts = [value for value in level if isinstance(value, str)]
        texts += [key for value in level if isinstance(value, dict) for key in value]
        for text in texts:
            if "\0" in text or (not text.isascii() and _SURROGATE.search(text)):
                raise ValueError("a text with NUL or a lone surrogate")
        inner = [value.values() if isinstance(value, dict) else value for value in level if type(value) in (dict, list)]
        level = [value for values in inner for value in values]
        if not level:
            return
    raise ValueError("nested too deeply")


def check_uid(name: str, value: str) -> str:
    """Return `value` if it is a UID (PS3.5 §9.1), and so safe in a path, key or URL.

    Raises
    ------
    BadRequest
        It is not; the error names the parameter.
    """
    if not is_uid(value):
        raise _bad_uid(name)
    return value


def check_uids(**uids: str) -> list[str]:
    """Return the values of several parameters, each checked as by `check_uid`."""
    return [check_uid(name, value) for name, value in uids.items()]


def _bad_uid(name: str) -> BadRequest:
    return BadRequest(
        f"{name} is not a UID: digits and single dots, at most 64 characters.",
        code="INVALID_UID",
        errors=[{"field": name, "problem": "not a UID"}],
    )


def base_url(app: APIGatewayRestResolver) -> str:
    """Return the URL of this stage as callers reach it, without a trailing slash.

    Uses the gateway's own domain, never ``Host`` or ``X-Forwarded-Proto``: a forged header would end up in answers that
    others may receive from a cache.
    """
    event = app.current_event.raw_event
    public_url = edge_settings().public_url
    if public_url:
        return public_url.replace("{apiId}", str(event.get("requestContext", {}).get("apiId", "")))
    domain = str(event.get("requestContext", {}).get("domainName") or "")
    full = str(event.get("requestContext", {}).get("path") or event.get("path") or "")
    own = str(event.get("path") or "")
    prefix = full[: -len(own)] if own and full.endswith(own) else ""
    return f"https://{domain}{prefix}"
