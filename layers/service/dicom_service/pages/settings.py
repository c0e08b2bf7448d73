"""Who the pages speak for: the operator's name, logo and contact."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from dicom_service.settings import setting

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


@dataclass(frozen=True)
class PageSettings:
    """The operator, as the pages show them."""

    service_name: str = setting("SERVICE_NAME", default="DICOM Service")
    service_logo_url: str | None = setting("SERVICE_LOGO_URL", cast=logo_url, default=None)
    support_contact: str = setting("SUPPORT_CONTACT", default="")
