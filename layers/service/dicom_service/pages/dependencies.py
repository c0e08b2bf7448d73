"""The pages of this deployment, wired from the settings once per process."""

from functools import cache
from importlib.resources import files

from dicom_service.pages.settings import PageSettings
from dicom_service.pages.store import Pages
from dicom_service.settings import load

# A folder of the pages' layer, beside the packages: where layers lie is the runtime's affair.
_PACKED = "web_pages"


@cache
def page_settings() -> PageSettings:
    """Return who the pages speak for."""
    return load(PageSettings)


@cache
def pages() -> Pages:
    """Return the packed pages."""
    settings = page_settings()
    values = {
        "serviceName": settings.service_name,
        "serviceLogoUrl": settings.service_logo_url or "",
        "supportContact": settings.support_contact,
        "oidcIssuer": settings.oidc_issuer,
        "oidcClientId": settings.oidc_client_id,
        "oidcAudience": settings.oidc_audience,
        "oidcScope": settings.oidc_scope,
    }
    return Pages(files(_PACKED), values)
