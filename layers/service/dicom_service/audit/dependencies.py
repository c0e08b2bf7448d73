"""The objects of this package, wired from the settings once per process."""

from functools import cache
from typing import TYPE_CHECKING

from dicom_service.audit.recorder import Recorder
from dicom_service.audit.store import AuditReader, AuditSettings, AuditTable, AuditWriter
from dicom_service.settings import load

if TYPE_CHECKING:
    from dicom_service.audit.export import Exporter
    from dicom_service.patient import PatientHasher


def _hasher() -> "PatientHasher":
    # Most requests name no patient, and this imports the tables of codes.
    from dicom_service.otp.dependencies import hasher

    return hasher()


@cache
def recorder() -> Recorder:
    """Return the recorder that `dicom_service.edge.serve` calls for every request."""
    return Recorder(AuditWriter(load(AuditSettings)), _hasher)


@cache
def reader() -> AuditReader:
    """Return the reader of the records."""
    return AuditReader(load(AuditTable))


def subject_hashes(patient_id: str) -> list[str]:
    """Return what the records of a patient are found by: a hash for each key of the hasher."""
    from dicom_service.patient import Patient, index_value

    return [index_value(hashed) for hashed in _hasher().all_hashes(Patient.of(patient_id))]


@cache
def exporter() -> "Exporter":
    """Return the exporter of the days that have ended."""
    from dicom_service.audit.export import ExportedDays, Exporter, ExportSettings

    settings = load(ExportSettings)
    return Exporter(AuditReader(settings), ExportedDays(settings.bucket))


def event_bus() -> str:
    """Return the name of the bus that accesses are announced on."""
    from dicom_service.audit.access_events import BusSettings

    return load(BusSettings).bus
