"""The objects of this package, wired from the settings once per process.

Each function imports only what it uses: modules that not all functions need are imported by their factory.
"""

from functools import cache
from typing import TYPE_CHECKING

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from dicom_service.dependencies import pacs
from dicom_service.settings import load

if TYPE_CHECKING:
    from dicom_service.aws.sqs_worker import Queues
    from dicom_service.exams.background_fetch import Fetcher, Retriever
    from dicom_service.exams.instance_cache import CacheSettings, InstanceCache, InstanceName
    from dicom_service.exams.patient_scope import PatientScope
    from dicom_service.exams.registry import ExamRegistry


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
def registry() -> "ExamRegistry":
    """Return the registry of exams."""
    from dicom_service.exams.registry import ExamRegistry, ExamSettings

    return ExamRegistry(load(ExamSettings))
