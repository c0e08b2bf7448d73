"""The operator's viewer: the link to an exam, and tokens of a viewer that issues its own."""

import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from dicom_service.aws import Secret
from dicom_service.errors import ServiceError, SettingsError
from dicom_service.pacs import pem_file
from dicom_service.settings import setting
from dicomweb.errors import DicomwebError, PacsTimeout, PacsUnreachable

if TYPE_CHECKING:
    from dicomweb.response import Response
    from dicomweb.transport import Transport

LONGEST_ANSWER = 64_000
_PLACEHOLDERS = {"studyUID", "token", "role"}
_PARAMETERS = ("studyUID", "patientID", "user", "role")
# A text response may be a token, a page, a message or an error; a token is one word without markup.
_TEXT_TOKEN = re.compile(r"[A-Za-z0-9._~+/=:%|-]{1,4096}")
_TEXT_TYPES = {"text/plain", ""}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


class ViewerError(ServiceError):
    """The viewer returned no token; `status` is 502 or 504."""

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
        It is no such URL.
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


def parameter_names(text: str) -> tuple[tuple[str, str], ...]:
    """Cast the names under which a viewer takes the parameters, such as ``user=username,patientID=``.

    A parameter with an empty name is not sent.

    Raises
    ------
    ValueError
        It has an unknown parameter, one parameter twice, or one name twice.
    """
    pairs = [tuple(part.strip() for part in pair.split("=")) for pair in text.split(",")]
    if any(len(pair) != 2 or pair[0] not in _PARAMETERS for pair in pairs):
        raise ValueError("pairs of studyUID, patientID, user or role and a name")
    names = {ours: theirs for ours, theirs in pairs}
    sent = [theirs for theirs in ({name: name for name in _PARAMETERS} | names).values() if theirs]
    if len(names) < len(pairs) or len(set(sent)) < len(sent):
        raise ValueError("a parameter or a name twice")
    return tuple(names.items())


@dataclass(frozen=True)
class ViewerSettings:
    """How to reach the viewer."""

    link: str | None = setting("VIEWER_URL", cast=link_template, default=None)
    token_url: str | None = setting("VIEWER_TOKEN_URL", cast=viewer_url, default=None)
    secret_arn: str | None = setting("VIEWER_SECRET_ARN", default=None)
    parameters: tuple[tuple[str, str], ...] = setting("VIEWER_PARAMETERS", cast=parameter_names, default=())


def link(template: str | None, values: Mapping[str, str]) -> str | None:
    """Fill a template of links; values are percent-encoded."""
    if template is None:
        return None
    return re.sub(r"{([^{}]*)}", lambda match: quote(values[match[1]], safe=""), template)


class ViewerTokens:
    """Requests tokens from a viewer that issues its own, as the reference does; construction does no I/O.

    Parameters
    ----------
    url
        The operator's VIEWER_TOKEN_URL.
    names
        The viewer's names for the parameters; an empty name leaves the parameter out.
    secret
        JSON with `name` and `value` of a header for the viewer, and `ca_bundle` (PEM) for a certificate of a private
        authority; each may be absent.
    seconds
        Deadline of a whole call.
    """

    def __init__(
        self,
        url: str,
        names: Mapping[str, str] | None = None,
        secret: Secret | None = None,
        *,
        seconds: float = 10.0,
    ) -> None:
        self._url = url
        self._names = dict(names or {})
        self._secret = secret
        self._seconds = seconds
        self._connected_with: Mapping[str, object] | None = None
        self._transport: Transport | None = None

    def request_token(self, parameters: Mapping[str, str | None]) -> str:
        """Request a token; redirects are not followed.

        Parameters
        ----------
        parameters
            ``studyUID``, ``patientID``, ``user``, ``role``; None leaves one out.

        Raises
        ------
        ViewerError
            The viewer cannot be reached, takes too long, or returns no token.
        SettingsError
            The secret of the viewer is incomplete or invalid.
        """
        named = {self._names.get(name, name): value for name, value in parameters.items()}
        query = urlencode({name: value for name, value in named.items() if name and value is not None})
        url = f"{self._url}{'&' if urlsplit(self._url).query else '?'}{query}"
        transport = self._connect()
        try:
            response = transport.request("GET", url, headers={"Accept": "application/json, text/plain"}, stream=True)
            return _token(response, _read(response))
        except PacsTimeout as error:
            detail = "The viewer takes too long; try again later."
            raise ViewerError(detail, status=504, code="VIEWER_TIMEOUT") from error
        except PacsUnreachable as error:
            detail = "The viewer cannot be reached; try again later."
            raise ViewerError(detail, status=502, code="VIEWER_UNREACHABLE") from error
        except DicomwebError as error:
            raise _no_token() from error

    def _connect(self) -> "Transport":
        from dicomweb.auth import HeaderAuth
        from dicomweb.transport import Timeouts, Transport

        try:
            secret = self._secret.value() if self._secret else {}
            if self._transport is None or secret != self._connected_with:
                header = _header(secret)
                self._transport = Transport(
                    auth=HeaderAuth(*header) if header else None,
                    timeouts=Timeouts(min(3.05, self._seconds), self._seconds, self._seconds),
                    verify=_authority(secret) or True,
                    max_retries=1,
                    max_redirects=0,
                )
                self._connected_with = secret
        except ValueError as error:
            raise SettingsError("The secret of the viewer is incomplete or makes no sense.") from error
        return self._transport


def _header(secret: Mapping[str, object]) -> tuple[str, str] | None:
    name, value = secret.get("name") or "", secret.get("value") or ""
    if not name and not value:
        return None
    if not (isinstance(name, str) and isinstance(value, str)):
        raise ValueError("the header is no text")
    if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
        raise ValueError("half a header, or one that cannot be sent")
    return name, value


def _authority(secret: Mapping[str, object]) -> str | None:
    if not secret.get("ca_bundle"):
        return None
    try:
        ssl.create_default_context(cadata=str(secret["ca_bundle"]))
    except ssl.SSLError as error:
        raise ValueError("ca_bundle is no certificate") from error
    return pem_file(secret, "ca_bundle")


def _read(response: "Response") -> bytes:
    """Read at most `LONGEST_ANSWER` bytes of a response."""
    body = b""
    for piece in response.iter_bytes():
        body += piece
        if len(body) > LONGEST_ANSWER:
            response.close()
            raise _no_token()
    return body


def _token(response: "Response", body: bytes) -> str:
    """Return the token: ``{"token": …}``, or the whole of a plain text."""
    if response.status != 200:
        raise _no_token()
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if isinstance(answer, dict):
        token = answer.get("token")
    else:
        text = body.decode("utf-8", "replace").strip()
        token = text if response.media_type in _TEXT_TYPES and _TEXT_TOKEN.fullmatch(text) else None
    if not isinstance(token, str) or not token:
        raise _no_token()
    return token


def _no_token() -> ViewerError:
    return ViewerError("The viewer returned no token; contact the operator.", status=502, code="VIEWER_ERROR")
