"""Pages over HTTP: conditional requests, compression, and what a browser may keep and do."""

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.conditions import caller_has, takes_gzip
from dicom_service.edge import answer, empty
from dicom_service.errors import NotFound
from dicom_service.pages.dependencies import page_settings, pages
from dicom_service.pages.policies import SECURITY_HEADERS, policy_of

_FOR_GOOD = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"


def page_response(app: APIGatewayRestResolver, path: str) -> Response[Any]:
    """Return the response with a page, or 304 if the caller has it already.

    Parameters
    ----------
    path
        Below the stage, without a leading slash.

    Raises
    ------
    NotFound
        There is no such page.
    """
    page = pages().find(path)
    if page is None:
        raise NotFound("There is no such page.", code="NO_SUCH_ROUTE")
    headers = {
        **SECURITY_HEADERS,
        "Content-Security-Policy": policy_of(page.policy, page_settings()),
        "ETag": page.tag,
        "Cache-Control": _FOR_GOOD if page.is_immutable else _ASK_AGAIN,
        "Vary": "Accept-Encoding",
    }
    if words := pages().words(path, str(app.current_event.headers.get("accept-language") or "")):
        # The page asks for them once it runs: one round trip later, if the browser did not know.
        headers |= {"Link": f'<{words}>; rel="modulepreload"', "Vary": "Accept-Encoding, Accept-Language"}
    if caller_has(app, page.tag):
        return empty(304, headers=headers)
    if not page.is_gzip or not takes_gzip(app):
        return answer(page.identity(), headers=headers, content_type=page.media_type)
    return answer(page.body, headers={**headers, "Content-Encoding": "gzip"}, content_type=page.media_type)
