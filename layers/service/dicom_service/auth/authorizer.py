"""Decides each request before any function runs: the REQUEST authorizer behind every route that is not open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dicom_service.auth.access_tokens import AccessTokens, kind_of
from dicom_service.auth.oidc import OidcVerifier, RoleClaims, default_role, role_map
from dicom_service.auth.principal import Principal
from dicom_service.auth.service_keys import CallbackKey, ServiceKeys
from dicom_service.aws import Secret
from dicom_service.errors import Unauthorized
from dicom_service.settings import setting

LONGEST_CREDENTIAL = 8192


@dataclass(frozen=True)
class AuthSettings:
    """The credentials that are accepted."""

    service_keys_secret: str = setting("SERVICE_KEYS_SECRET_ARN")
    callback_secret: str = setting("CALLBACK_SECRET_ARN")
    access_tokens_table: str = setting("ACCESS_TOKENS_TABLE")
    otps_table: str = setting("OTPS_TABLE")
    oidc_issuer: str | None = setting("OIDC_ISSUER", default=None)
    oidc_audience: str | None = setting("OIDC_AUDIENCE", default=None)
    oidc_role_claim: str = setting("OIDC_ROLE_CLAIM", default="roles")
    oidc_organisation_claim: str = setting("OIDC_ORGANISATION_CLAIM", default="organization")
    oidc_roles: Mapping[str, str] | None = setting("OIDC_ROLES", cast=role_map, default=None)
    oidc_default_role: str | None = setting("OIDC_DEFAULT_ROLE", cast=default_role, default=None)


class CredentialKind(Protocol):
    """One kind of credential."""

    def find(self, token: str) -> Principal | None:
        """Return the principal of `token`, or None."""


class Authorizer:
    """Tries each kind of credential in turn; the first that knows the token decides.

    Parameters
    ----------
    kinds
        Cheapest first.
    exam_tokens
        Exam access tokens, which count what is requested with them; tried before the others.
    """

    def __init__(self, kinds: Sequence[CredentialKind], exam_tokens: AccessTokens | None = None) -> None:
        self._kinds = kinds
        self._exam_tokens = exam_tokens

    @classmethod
    def from_settings(cls, settings: AuthSettings) -> "Authorizer":
        """Return the authorizer of a deployment."""
        kinds: list[CredentialKind] = [
            ServiceKeys(Secret(settings.service_keys_secret)),
            CallbackKey(Secret(settings.callback_secret)),
        ]
        if settings.oidc_issuer and settings.oidc_audience:
            roles = RoleClaims(settings.oidc_role_claim, settings.oidc_roles or {}, settings.oidc_default_role)
            issuer, audience = settings.oidc_issuer, settings.oidc_audience
            claim = settings.oidc_organisation_claim
            kinds.append(OidcVerifier(issuer, audience, roles, organisation_claim=claim))
        return cls(kinds, AccessTokens(settings.access_tokens_table, settings.otps_table))

    def decide(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the policy for one request.

        Parameters
        ----------
        event
            The REQUEST authorizer event of API Gateway.

        Raises
        ------
        Unauthorized
            There is no bearer credential, or it is unknown.
        """
        token = bearer_token(event.get("headers") or {})
        bearer = self._exam_tokens.find(token, kind_of(event)) if self._exam_tokens else None
        if bearer is not None:
            return bearer.policy(event)
        for kind in self._kinds:
            principal = kind.find(token)
            if principal is not None:
                return principal.policy(event)
        raise Unauthorized("The credential is unknown.")


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the token of the Authorization header (RFC 6750 §2.1).

    Raises
    ------
    Unauthorized
        There is none.
    """
    values = [value for name, value in headers.items() if name.lower() == "authorization"]
    scheme, _, token = (values[0] if values else "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > LONGEST_CREDENTIAL or not token.isascii():
        raise Unauthorized("The request has no bearer credential.")
    return token
