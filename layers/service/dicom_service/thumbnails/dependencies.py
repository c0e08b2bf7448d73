"""The maker of thumbnails, wired from the settings once per process."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from dicom_service.dependencies import pacs
from dicom_service.exams.dependencies import cache_settings
from dicom_service.settings import flag, load, setting

if TYPE_CHECKING:
    from dicom_service.thumbnails.cache import CachedThumbnailer


@dataclass(frozen=True)
class ThumbnailSettings:
    """Which images may be shown."""

    allow_burned_in: bool = setting("ALLOW_BURNED_IN", cast=flag, default=False)


@cache
def thumbnailer() -> "CachedThumbnailer":
    """Return the maker of thumbnails, with its cache."""
    from dicom_service.exams.capabilities import Capabilities
    from dicom_service.otp.dependencies import hasher
    from dicom_service.thumbnails.cache import CachedThumbnailer, ThumbnailCache
    from dicom_service.thumbnails.thumbnailer import Thumbnailer

    made_by = Thumbnailer(pacs(), Capabilities(), allow_burned_in=load(ThumbnailSettings).allow_burned_in)
    return CachedThumbnailer(made_by, ThumbnailCache(cache_settings(), hasher))
