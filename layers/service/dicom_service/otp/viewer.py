"""The viewer that shows the exam: the link to it, and the token of a viewer that makes its own."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from dicom_service.errors import ServiceError
from dicom_service.settings import setting

TIMEOUT = (3.05, 10.0)
LONGEST_ANSWER = 64_000
_PLACEHOLDERS = {"studyUID", "token", "role"}


class ViewerTrouble(ServiceError):
    """The viewer did not give its token; `status` is 502 or 504."""

    status = 502
    default_code = "VIEWER_ERROR"

    def __init__(self, detail: str, *, status: int, code: str) -> None:
        super().__init__(detail, code=code)
        self.status = status


def viewer_url(text: str) -> str:
    """Cast a URL that may carry a token: https, or http on the loopback; no credentials in it.

    Raises
    ------
    ValueError
        It is none.
    """
    parts = urlsplit(text)
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise ValueError("not an https URL")
    if not parts.hostname or parts.username or parts.password:
        raise ValueError("no host, or credentials in the URL")
    return text


def link_template(text: str) -> str:
    """Cast a template of links to the viewer, such as ``https://viewer.example/#/{studyUID}?token={token}``.

    Raises
    ------
    ValueError
        It has an unknown placeholder, lacks ``{token}``, or is no URL for a token.
    """
    names = re.findall(r"{([^{}]*)}", text)
    if "token" not in names or not set(names) <= _PLACEHOLDERS:
        raise ValueError("placeholders are {studyUID}, {token} and {role}; {token} is needed")
    viewer_url(re.sub(r"{[^{}]*}", "x", text))
    host = text.split("/", 3)[2] if text.count("/") > 2 else text
    if "{" in host:
        raise ValueError("a placeholder in the host")
    return text


@dataclass(frozen=True)
class ViewerSettings:
    """How the viewer is reached."""

    link: str | None = setting("VIEWER_URL", cast=link_template, default=None)
    token_url: str | None = setting("VIEWER_TOKEN_URL", cast=viewer_url, default=None)


def link(template: str | None, values: Mapping[str, str]) -> str | None:
    """Fill a template; every value is percent-encoded whole."""
    if template is None:
        return None
    return re.sub(r"{([^{}]*)}", lambda match: quote(values[match[1]], safe=""), template)


def ask_for_token(url: str, parameters: Mapping[str, str | None]) -> str:
    """Ask a viewer for its own token, as the reference does; it follows no redirect.

    Parameters
    ----------
    url
        The operator's VIEWER_TOKEN_URL.
    parameters
        ``studyUID``, ``patientID``, ``user``, ``role``; those that are None are left out.

    Raises
    ------
    ViewerTrouble
        The viewer cannot be reached, takes too long, or answers without a token.
    """
    import requests

    given = {name: value for name, value in parameters.items() if value is not None}
    try:
        with requests.get(url, params=given, timeout=TIMEOUT, allow_redirects=False, stream=True) as response:
            body = response.raw.read(LONGEST_ANSWER + 1, decode_content=True)
            status = response.status_code
    except requests.Timeout as error:
        detail = "The viewer takes too long; try again later."
        raise ViewerTrouble(detail, status=504, code="VIEWER_TIMEOUT") from error
    except requests.RequestException as error:
        detail = "The viewer cannot be reached; try again later."
        raise ViewerTrouble(detail, status=502, code="VIEWER_UNREACHABLE") from error
    return _token(status, body)


def _token(status: int, body: bytes) -> str:
    import json

    trouble = ViewerTrouble("The viewer gave no token; tell the operator.", status=502, code="VIEWER_ERROR")
    if status != 200 or len(body) > LONGEST_ANSWER:
        raise trouble
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise trouble from error
    token = answer.get("token") if isinstance(answer, dict) else None
    if not isinstance(token, str) or not token:
        raise trouble
    return token
