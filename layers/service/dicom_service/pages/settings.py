"""Who the pages speak for: the operator's name, logo and contact."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from dicom_service.settings import setting, words

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?")
_DATA = re.compile(r"data:image/(png|jpeg|svg\+xml|webp|gif);base64,[A-Za-z0-9+/]+=*")


def logo_url(text: str) -> str:
    """Cast the URL of a logo: https, or a ``data:`` URL of a picture in base 64.

    Raises
    ------
    ValueError
        It is neither.
    """
    parts = urlsplit(text)
    is_https = parts.scheme == "https" and re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]+)?", parts.netloc) is not None
    if not (is_https or _DATA.fullmatch(text)):
        raise ValueError("neither an https URL nor a picture as a data URL")
    return text


def origins(text: str) -> tuple[str, ...]:
    """Cast URLs to their origins (scheme, host and port), as a policy names them.

    Raises
    ------
    ValueError
        One is not an http or https URL of a host.
    """
    found = tuple("{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in words(text))
    if not all(_ORIGIN.fullmatch(origin) for origin in found):
        raise ValueError("not http or https URLs")
    return found


@dataclass(frozen=True)
class PageSettings:
    """The operator, as the pages show them, and where the desk signs its people in and sends their files."""

    service_name: str = setting("SERVICE_NAME", default="DICOM Service")
    service_logo_url: str | None = setting("SERVICE_LOGO_URL", cast=logo_url, default=None)
    support_contact: str = setting("SUPPORT_CONTACT", default="")
    oidc_issuer: str = setting("OIDC_ISSUER", default="")
    oidc_client_id: str = setting("OIDC_CLIENT_ID", default="")
    oidc_audience: str = setting("OIDC_AUDIENCE", default="")
    oidc_scope: str = setting("OIDC_SCOPE", default="openid profile email")
    oidc_origins: tuple[str, ...] = setting("OIDC_ORIGINS", cast=origins, default=())
    staging_origins: tuple[str, ...] = setting("STAGING_ORIGIN", cast=origins, default=())

    @property
    def desk_origins(self) -> tuple[str, ...]:
        """Where else than to the API the desk may connect: the staging bucket, and the issuer where one is set."""
        issuer = (*origins(self.oidc_issuer), *self.oidc_origins) if self.oidc_issuer and self.oidc_client_id else ()
        return (*self.staging_origins, *issuer)
