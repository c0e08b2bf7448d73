"""Credentials for a PACS, as ``requests`` applies them to each attempt."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from dicomweb.errors import NotFound, NotSupported, PacsFault, PacsRejectedCredentials, RequestRejected
from dicomweb.transport import Body, Timeouts, Transport

UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

Signer = Callable[[str, str, Mapping[str, str], str], Mapping[str, str]]
"""``signer(method, url, headers, payload_hash)`` returns the headers to add.

``payload_hash`` is the SHA-256 of the body in hex or ``UNSIGNED-PAYLOAD``; it is in ``headers`` as
X-Amz-Content-SHA256 already, which is where botocore's ``SigV4Auth.add_auth`` looks for it.
"""

_TOKEN_TIMEOUTS = Timeouts(connect=3.05, read=8.0, total=10.0)
_RENEW_BEFORE_EXPIRY = 60.0
_DEFAULT_LIFETIME = 300.0


class HeaderAuth(AuthBase):
    """Sends one fixed header, for example an API key or a bearer token.

    Parameters
    ----------
    name
        Header name.
    value
        Header value.
    """

    def __init__(self, name: str, value: str) -> None:
        self._name = name
        self._value = value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers[self._name] = self._value
        return request


class SigV4Auth(AuthBase):
    """Signs each attempt with AWS Signature Version 4, using the signer passed in.

    Bodies that are streamed go as UNSIGNED-PAYLOAD: hashing them first would mean reading them twice.

    Parameters
    ----------
    signer
        Computes the headers.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the signature."""
        payload_hash = UNSIGNED_PAYLOAD if request.body else hashlib.sha256(b"").hexdigest()
        request.headers["X-Amz-Content-SHA256"] = payload_hash
        request.headers.update(self._signer(str(request.method), str(request.url), dict(request.headers), payload_hash))
        return request


class ClientCredentialsAuth(AuthBase):
    """Gets bearer tokens with OAuth 2.0 client credentials (RFC 6749 section 4.4) and keeps them while they last.

    Parameters
    ----------
    form
        What to send to the token endpoint.
    token_url
        The token endpoint.
    transport
        Speaks to the token endpoint.
    clock
        Wall clock, seconds: a frozen Lambda function does not notice time passing otherwise.
    """

    def __init__(
        self, token_url: str, form: Mapping[str, str], transport: Transport, clock: Callable[[], float] = time.time
    ) -> None:
        self._token_url = token_url
        self._form = dict(form)
        self._transport = transport
        self._clock = clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._good_until = 0.0

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token, renewed when it is about to expire."""
        with self._lock:
            if self._token is None or self._clock() >= self._good_until:
                self._fetch()
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def renew(self) -> bool:
        """Forget the rejected token; the next request fetches a new one."""
        with self._lock:
            self._token = None
        return True

    def _fetch(self) -> None:
        body = Body.of(urlencode(self._form).encode(), "application/x-www-form-urlencoded")
        response = self._transport.request(
            "POST", self._token_url, headers={"Accept": "application/json"}, body=body, idempotent=True
        )
        try:
            response.raise_for_status()
        except (RequestRejected, NotFound, NotSupported) as error:
            raise PacsRejectedCredentials(f"the token endpoint rejected us (HTTP {response.status})") from error
        answer = response.json()
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise PacsFault("the token endpoint answered without a token", status=response.status)
        lifetime = _lifetime(answer)
        self._token = token
        self._good_until = self._clock() + max(lifetime - _RENEW_BEFORE_EXPIRY, lifetime / 2)


def _lifetime(answer: Mapping[str, Any]) -> float:
    """Read expires_in: seconds, as a number or (Entra v1) as text."""
    value = answer.get("expires_in")
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return float(value)
    return float(value) if isinstance(value, int | float) else _DEFAULT_LIFETIME


def make_auth(
    kind: str,
    secret: Mapping[str, str],
    *,
    signer: Signer | None = None,
    verify: bool | str = True,
    clock: Callable[[], float] = time.time,
) -> AuthBase | None:
    """Make the credentials that a kind and its secret describe.

    Parameters
    ----------
    kind
        ``none``; ``basic`` (username, password); ``bearer`` (token); ``header`` (name, value); ``oauth2``
        (token_url, client_id, client_secret, optional scope and audience); ``sigv4`` (needs the signer).
    secret
        The values named above.
    signer
        Signs for ``sigv4``.
    verify
        The CA bundle for the token endpoint, as for :class:`Transport`.
    clock
        Wall clock, seconds.

    Raises
    ------
    ValueError
        The kind is unknown, or a value that it needs is missing. Names what, never shows a value.
    """
    if kind == "none":
        return None
    if kind == "basic":
        username, password = _needed(kind, secret, "username", "password")
        # As bytes: requests would send text as Latin-1 and fail beyond it.
        return HTTPBasicAuth(username.encode(), password.encode())
    if kind == "bearer":
        (token,) = _needed(kind, secret, "token")
        return HeaderAuth("Authorization", f"Bearer {token}")
    if kind == "header":
        return HeaderAuth(*_needed(kind, secret, "name", "value"))
    if kind == "oauth2":
        transport = Transport(timeouts=_TOKEN_TIMEOUTS, verify=verify, max_retries=1)
        return _client_credentials(secret, transport, clock)
    if kind == "sigv4":
        if signer is None:
            raise ValueError("sigv4 credentials need a signer")
        return SigV4Auth(signer)
    raise ValueError(f"unknown kind of credentials: {kind!r}")


def _client_credentials(
    secret: Mapping[str, str], transport: Transport, clock: Callable[[], float]
) -> ClientCredentialsAuth:
    token_url, client_id, client_secret = _needed("oauth2", secret, "token_url", "client_id", "client_secret")
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    form |= {name: secret[name] for name in ("scope", "audience") if secret.get(name)}
    return ClientCredentialsAuth(token_url, form, transport, clock)


def _needed(kind: str, secret: Mapping[str, str], *names: str) -> list[str]:
    missing = [name for name in names if not secret.get(name)]
    if missing:
        raise ValueError(f"{kind} credentials lack: {', '.join(missing)}")
    return [secret[name] for name in names]
