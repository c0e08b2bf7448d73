"""The objects of this package, wired from the settings once per process."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from dicom_service.archive.table import ArchivesTable
from dicom_service.aws.sqs_worker import Queues
from dicom_service.dependencies import pacs
from dicom_service.exams.dependencies import cache_settings
from dicom_service.settings import load, setting

if TYPE_CHECKING:
    from dicom_service.archive.archive_requests import ArchiveRequests
    from dicom_service.archive.build import Builder
    from dicom_service.patient import Patient, PatientHasher


@dataclass(frozen=True)
class ArchiveSettings:
    """Where archives are noted, and the queue of their builds."""

    table: str = setting("ARCHIVES_TABLE")
    queue_url: str = setting("ARCHIVE_QUEUE_URL")


@dataclass(frozen=True)
class BuildSettings:
    """What a build needs beyond that."""

    dead_letters_url: str = setting("DEAD_ARCHIVE_QUEUE_URL")
    otps: str = setting("OTPS_TABLE")


@cache
def settings() -> ArchiveSettings:
    """Return the settings of archives."""
    return load(ArchiveSettings)


@cache
def archive_requests() -> "ArchiveRequests":
    """Return what answers the routes."""
    from dicom_service.archive.archive_requests import ArchiveRequests

    table, bucket = ArchivesTable(settings().table), cache_settings().bucket
    return ArchiveRequests(pacs(), table, bucket, settings().queue_url, _hasher)


@cache
def archive_queues() -> Queues:
    """Return the queue of builds and its dead-letter queue."""
    return Queues(settings().queue_url, load(BuildSettings).dead_letters_url)


@cache
def builder() -> "Builder":
    """Return what builds archives."""
    from dicom_service.archive.build import Builder, BuilderParts
    from dicom_service.archive.checkpoint import Checkpoints

    parts = BuilderParts(
        client=pacs(),
        table=ArchivesTable(settings().table),
        checkpoints=Checkpoints(cache_settings().bucket),
        otps_table=load(BuildSettings).otps,
        label_of=_label_of,
        queue_url=settings().queue_url,
    )
    return Builder(parts)


def _hasher() -> "PatientHasher":
    from dicom_service.otp.dependencies import hasher

    return hasher()


def _label_of(patient: "Patient") -> str:
    from dicom_service.exams.patient_scope import patient_label

    return patient_label(patient, _hasher())
