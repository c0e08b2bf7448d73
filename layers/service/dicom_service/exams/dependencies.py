"""The objects of this package, wired from the settings once per process.

Each function imports only what it uses: modules that not all functions need are imported by their factory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from dicom_service.dependencies import pacs
from dicom_service.settings import flag, load, setting

if TYPE_CHECKING:
    from dicom_service.aws.sqs_worker import Queues
    from dicom_service.exams.admission import Admission
    from dicom_service.exams.background_fetch import Fetcher, Retriever
    from dicom_service.exams.instance_cache import CacheSettings, InstanceCache, InstanceName
    from dicom_service.exams.patient_scope import PatientScope
    from dicom_service.exams.registry import ExamRegistry
    from dicom_service.exams.request_files import UploadedFile
    from dicom_service.exams.store_files import Stored
    from dicom_service.exams.thumbnail_cache import CachedThumbnailer


# Seconds: longer than a request.
_REQUEST_LEASE = 60


@dataclass(frozen=True)
class ThumbnailSettings:
    """Which images may be shown."""

    allow_burned_in: bool = setting("ALLOW_BURNED_IN", cast=flag, default=False)


@cache
def _access_tokens_table() -> str:
    from dicom_service.otp.store import OtpTables

    return load(OtpTables).access_tokens


def scope_of(app: APIGatewayRestResolver) -> "PatientScope":
    """Return what the credential of a request may see."""
    from dicom_service.exams.patient_scope import PatientScope, bearer_of

    bearer = bearer_of(app)
    return PatientScope(bearer, table=_access_tokens_table()) if bearer else PatientScope()


@cache
def cache_settings() -> "CacheSettings":
    """Return the settings of the cache bucket."""
    from dicom_service.exams.instance_cache import CacheSettings

    return load(CacheSettings)


@cache
def instance_cache() -> "InstanceCache":
    """Return the cache of retrieved files."""
    from dicom_service.exams.instance_cache import InstanceCache

    return InstanceCache(cache_settings())


def _label_of_file(beginning: bytes) -> str:
    from dicom_service.exams.patient_scope import patient_label, patient_of_file
    from dicom_service.otp.dependencies import hasher

    return patient_label(patient_of_file(beginning), hasher())


def keep_document(name: "InstanceName", document: bytes, beginning: bytes) -> str:
    """Keep the document of a report, given the beginning of its file; return a URL that opens it."""
    return instance_cache().store_document(name, document, _label_of_file(beginning))


@cache
def retriever() -> "Retriever":
    """Return the retriever behind ``GET …/instances/{instanceUID}``."""
    from dicom_service.exams.background_fetch import FetchSettings, Retriever

    return Retriever(pacs(), instance_cache(), load(FetchSettings).queue_url, _label_of_file)


@cache
def fetcher() -> "Fetcher":
    """Return the fetcher behind the fetch queue."""
    from dicom_service.exams.background_fetch import Fetcher

    return Fetcher(pacs(), instance_cache(), _label_of_file)


@cache
def fetch_queues() -> "Queues":
    """Return the fetch queue and its dead-letter queue."""
    from dicom_service.aws.sqs_worker import Queues
    from dicom_service.exams.background_fetch import FetchQueueSettings

    settings = load(FetchQueueSettings)
    return Queues(settings.queue_url, settings.dead_letters_url)


@cache
def thumbnailer() -> "CachedThumbnailer":
    """Return the maker of thumbnails, with its cache."""
    from dicom_service.exams.capabilities import Capabilities
    from dicom_service.exams.thumbnail_cache import CachedThumbnailer, ThumbnailCache
    from dicom_service.exams.thumbnails import Thumbnailer
    from dicom_service.otp.dependencies import hasher

    made_by = Thumbnailer(pacs(), Capabilities(), allow_burned_in=load(ThumbnailSettings).allow_burned_in)
    return CachedThumbnailer(made_by, ThumbnailCache(cache_settings(), hasher))


@cache
def registry() -> "ExamRegistry":
    """Return the registry of exams."""
    from dicom_service.exams.registry import ExamRegistry, ExamSettings

    return ExamRegistry(load(ExamSettings))


@cache
def admission(lease: int = _REQUEST_LEASE) -> "Admission":
    """Return the guard before the PACS; `lease` is for how many seconds its claims hold."""
    from dicom_service.exams.admission import Admission, AdmissionSettings
    from dicom_service.exams.claims import Claims, ClaimSettings

    return Admission(load(AdmissionSettings), pacs(), Claims(load(ClaimSettings), lease=lease))


@cache
def store() -> "Callable[[Sequence[UploadedFile]], Stored]":
    """Return what stores the files of a request."""
    from dicom_service.exams.store_files import StoreSettings, store_files

    return partial(store_files, client=pacs(), registry=registry(), admission=admission(), settings=load(StoreSettings))
