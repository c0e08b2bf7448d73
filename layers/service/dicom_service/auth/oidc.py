"""JSON Web Tokens of the operator's OIDC issuer (OpenID Connect Core §3.1.3.7, RFC 8725).

PyJWT, cryptography and requests are imported when the first token is verified: most deployments have no issuer
and need none of them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dicom_service.auth.principal import Principal, organisation
from dicom_service.errors import Unavailable

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY = 60
_KEYS_LIVE = 600.0
_REFRESH_AT_MOST = 30.0
# Older keys are no longer trusted, even while the issuer is down: one may have been withdrawn.
STALE_FOR = 6 * 3600.0

# Of several the last one holds: whoever may audit sees no exams.
MAPPABLE = ("reader", "auditor", "service")
READER = "reader"
# Reaches nothing, and is refused by name.
NONE = "none"

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


def role_map(text: str) -> Mapping[str, str]:
    """Cast ``value=role,value=role``: the role for each value of the role claim.

    Raises
    ------
    ValueError
        An entry is no such pair, or its role is not ``reader``, ``auditor`` or ``service``.
    """
    pairs = [entry.rpartition("=") for entry in text.split(",") if entry.strip()]
    roles = {value.strip(): role.strip() for value, _, role in pairs}
    if not all(roles) or not set(roles.values()) <= set(MAPPABLE):
        raise ValueError("not value=role,value=role with the roles reader, auditor and service")
    return roles


def default_role(text: str) -> str:
    """Cast the role of those to whom no value gives one.

    Raises
    ------
    ValueError
        It is neither ``reader`` nor ``none``.
    """
    if text not in (READER, NONE):
        raise ValueError("not reader or none")
    return text


@dataclass(frozen=True)
class RoleClaims:
    """Maps a token's claims to a role: the highest that one of its values maps to, else the default.

    Parameters
    ----------
    claim
        Name of the claim, or its path with dots, such as ``realm_access.roles``. Its value is one text, words with
        spaces between (as ``scope``), or a list of texts.
    roles
        Role by value of the claim.
    default
        Role without such a value; None for ``none`` where values give roles, ``reader`` where nothing does.
    """

    claim: str = "roles"
    roles: Mapping[str, str] = field(default_factory=dict)
    default: str | None = None

    def role(self, claims: Mapping[str, Any]) -> str:
        """Return the role of the bearer of these verified claims."""
        mapped = {self.roles[value] for value in self._values(claims) if value in self.roles}
        return max(mapped, key=MAPPABLE.index, default=self.default or (NONE if self.roles else READER))

    def _values(self, claims: Mapping[str, Any]) -> list[str]:
        # The name of a claim may contain dots, such as a URL of the issuer.
        value: Any = claims.get(self.claim)
        if value is None:
            value = claims
            for name in self.claim.split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str):
            return [value, *value.split()]
        return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


class OidcVerifier:
    """Verifies tokens by signature, issuer, audience, times and an allow-list of algorithms.

    Parameters
    ----------
    issuer
        ``iss`` that a token must carry; its discovery document names the keys.
    audience
        ``aud`` that a token must be meant for.
    roles
        Maps the claims to a role.
    organisation_claim
        Claim that names the caller's organisation to the audit.
    fetch
        Gets a JSON document by URL.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        roles: RoleClaims | None = None,
        *,
        organisation_claim: str = "organization",
        fetch: Fetch = fetch_json,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._roles = roles or RoleClaims()
        self._organisation_claim = organisation_claim
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None

    def find(self, token: str) -> Principal | None:
        """Return the caller that a valid token speaks for, or None for any token that is not valid."""
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
        name, context = f"oidc:{claims.get('sub', 'unnamed')}", organisation(claims, self._organisation_claim)
        return Principal(name, self._roles.role(claims), context=context)

    def _key(self, kid: str) -> Any:
        now = self._clock()
        age = None if self._read_at is None else now - self._read_at
        rested = self._tried_at is None or now - self._tried_at > _REFRESH_AT_MOST
        # An unknown key id may be a new key; asking the issuer each time would let strangers flood it.
        wanted = age is None or age > _KEYS_LIVE or kid not in self._keys
        usable = age is not None and age <= STALE_FOR and kid in self._keys
        if wanted and (rested or age is None or age > STALE_FOR):
            self._tried_at = now
            try:
                self._read_keys()
            except Unavailable:
                # While the issuer is down, tokens signed with a known key keep working for a while.
                if not usable:
                    raise
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
                # An unsupported key must not hide the others.
                continue
        self._keys, self._read_at = keys, self._clock()
