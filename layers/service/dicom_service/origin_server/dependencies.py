"""The objects of this package, wired from the settings once per process.

Each function imports only what it uses: modules that not all functions need are imported by their factory.
"""

from functools import cache
from typing import TYPE_CHECKING

from dicom_service.dependencies import pacs
from dicom_service.exams.dependencies import cache_settings

if TYPE_CHECKING:
    from dicom_service.exams.capabilities import Capabilities
    from dicom_service.origin_server.bulk_data import BulkData
    from dicom_service.origin_server.frames import Frames
    from dicom_service.origin_server.instances import Instances
    from dicom_service.origin_server.metadata import Metadata
    from dicom_service.origin_server.search import Search
    from dicom_service.origin_server.shared_cache import SharedCache
    from dicom_service.origin_server.study_state import StudyStates


@cache
def states() -> "StudyStates":
    """Return what is known of the studies of the PACS."""
    from dicom_service.origin_server.study_state import StudyStates
    from dicom_service.otp.dependencies import hasher

    return StudyStates(pacs(), hasher)


@cache
def search() -> "Search":
    """Return the searches."""
    from dicom_service.origin_server.search import Search

    return Search(pacs())


@cache
def shared_cache() -> "SharedCache":
    """Return the cache that the callers share."""
    from dicom_service.origin_server.shared_cache import SharedCache

    return SharedCache(cache_settings())


@cache
def _capabilities() -> "Capabilities":
    from dicom_service.exams.capabilities import Capabilities

    return Capabilities()


@cache
def metadata() -> "Metadata":
    """Return the metadata of studies, series and instances."""
    from dicom_service.origin_server.metadata import Metadata
    from dicom_service.otp.dependencies import hasher

    return Metadata(pacs(), shared_cache(), _capabilities(), hasher)


@cache
def frames() -> "Frames":
    """Return the frames of instances."""
    from dicom_service.origin_server.frame_source import FrameSource
    from dicom_service.origin_server.frames import Frames

    return Frames(FrameSource(pacs(), shared_cache(), _capabilities()))


@cache
def instances() -> "Instances":
    """Return the files of instances."""
    from dicom_service.exams.dependencies import instance_cache, retriever
    from dicom_service.origin_server.instances import Instances

    return Instances(pacs(), retriever(), instance_cache())


@cache
def bulk_data() -> "BulkData":
    """Return the bulk data of instances."""
    from dicom_service.origin_server.bulk_data import BulkData

    return BulkData(pacs(), _capabilities())
