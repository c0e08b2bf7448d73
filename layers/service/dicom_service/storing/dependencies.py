"""What brings files to the PACS, wired from the settings once per process.

Each function imports only what it uses: modules that not all functions need are imported by their factory.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from dicom_service.dependencies import pacs
from dicom_service.exams.dependencies import registry
from dicom_service.settings import load

if TYPE_CHECKING:
    from dicom_service.storing.admission import Admission
    from dicom_service.storing.request_files import UploadedFile
    from dicom_service.storing.store_files import Stored

# Seconds: longer than a request.
_REQUEST_LEASE = 60


@cache
def admission(lease: int = _REQUEST_LEASE) -> "Admission":
    """Return the guard before the PACS; `lease` is for how many seconds its claims hold."""
    from dicom_service.storing.admission import Admission, AdmissionSettings
    from dicom_service.storing.claims import Claims, ClaimSettings

    return Admission(load(AdmissionSettings), pacs(), Claims(load(ClaimSettings), lease=lease))


@cache
def store() -> "Callable[[Sequence[UploadedFile]], Stored]":
    """Return what stores the files of a request."""
    from dicom_service.storing.store_files import StoreSettings, store_files

    return partial(store_files, client=pacs(), registry=registry(), admission=admission(), settings=load(StoreSettings))
