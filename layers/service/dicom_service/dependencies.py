"""The objects that all packages share, wired from the settings once per process."""

from functools import cache
from typing import TYPE_CHECKING

from dicom_service.settings import EdgeSettings, PacsSettings, load

if TYPE_CHECKING:
    from dicom_service.health import Health
    from dicomweb.client import DicomwebClient


@cache
def edge_settings() -> EdgeSettings:
    """Return the settings of the HTTP edge."""
    return load(EdgeSettings)


@cache
def pacs() -> "DicomwebClient":
    """Return the client of the PACS; its modules are imported here, when the first search needs them."""
    from dicom_service.pacs import connect

    return connect(load(PacsSettings))


@cache
def health() -> "Health":
    """Return the health of this deployment."""
    from dicom_service.health import Health, HealthSettings, check_all

    settings, pacs_settings = load(HealthSettings), load(PacsSettings)
    return Health(lambda: check_all(settings, pacs_settings))
