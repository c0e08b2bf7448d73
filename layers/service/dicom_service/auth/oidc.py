"""JSON Web Tokens of the operator's OIDC issuer (OpenID Connect Core §3.1.3.7, RFC 8725).

PyJWT, cryptography and requests are imported when the first token is verified: most deployments have no issuer, and
then nobody should pay for the import.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from dicom_service.auth.principal import Principal
from dicom_service.errors import Unavailable

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY = 60
_KEYS_LIVE = 600.0
_REFRESH_AT_MOST = 30.0

Fetch = Callable[[str], Mapping[str, Any]]


def fetch_json(url: str) -> Mapping[str, Any]:
    """Fetch one of the issuer's documents; its redirects are not followed.

    Raises
    ------
    Unavailable
        The issuer does not answer with JSON.
    """
    import requests

    try:
        response = requests.get(url, timeout=(3, 5), allow_redirects=False)
        response.raise_for_status()
        return dict(response.json())
    except (requests.RequestException, ValueError, TypeError) as error:
        raise Unavailable("The identity provider does not answer; try again later.") from error


class OidcVerifier:
    """Verifies tokens by signature, issuer, audience, times and an allow-list of algorithms.

    Parameters
    ----------
    issuer
        ``iss`` that a token must carry; its discovery document names the keys.
    audience
        ``aud`` that a token must be meant for.
    fetch
        Gets a JSON document by URL.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        *,
        fetch: Fetch = fetch_json,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._read_at: float | None = None

    def find(self, token: str) -> Principal | None:
        """Give the caller a valid token speaks for, or None for any token that is not valid.

        Raises
        ------
        Unavailable
            The issuer's keys cannot be read.
        """
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            key = self._key(str(header.get("kid", "")))
            if key is None or header.get("alg") not in ALGORITHMS:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError:
            return None
        return Principal(name=f"oidc:{claims.get('sub', 'unnamed')}", role="service")

    def _key(self, kid: str) -> Any:
        age = None if self._read_at is None else self._clock() - self._read_at
        # A key id nobody knows may be a new key; asking the issuer each time would let strangers make us flood it.
        if age is None or age > _KEYS_LIVE or (kid not in self._keys and age > _REFRESH_AT_MOST):
            self._read_keys()
        return self._keys.get(kid)

    def _read_keys(self) -> None:
        import jwt

        discovery = self._fetch(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        documents = self._fetch(str(discovery.get("jwks_uri", ""))).get("keys", [])
        keys: dict[str, Any] = {}
        for document in documents:
            if document.get("use", "sig") != "sig" or document.get("kty") == "oct":
                continue
            try:
                keys[str(document.get("kid", ""))] = jwt.PyJWK.from_dict(document)
            except jwt.PyJWTError:
                # A key of a kind this version does not know must not hide the others.
                continue
        self._keys, self._read_at = keys, self._clock()
