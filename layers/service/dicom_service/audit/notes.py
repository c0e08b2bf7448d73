"""What a request turns out to be about, noted by the code that finds out, and read when its record is written.

The request itself names what it asks for; what else it shows only its answer says: the exams of a list, the patient of
a picture, the code that was redeemed. Outside of a request, notes go nowhere.
"""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from dicom_service.audit.actions import Action
from dicom_service.patient import PATIENT_ID, Patient

_STUDY = "0020000D"


@dataclass(frozen=True)
class Shown:
    """An exam, a patient, or both; a patient is given as such or as the hash of it.

    Parameters
    ----------
    study_uid
        StudyInstanceUID.
    patient
        The patient, hashed before it is written.
    hashed
        The patient's hash.
    """

    study_uid: str = ""
    patient: Patient | None = None
    hashed: str = ""

    def filled(self, other: "Shown") -> "Shown":
        """Return this with what it lacks taken from another."""
        own = bool(self.patient or self.hashed)
        return Shown(
            self.study_uid or other.study_uid,
            self.patient if own else other.patient,
            self.hashed if own else other.hashed,
        )


@dataclass
class Notes:
    """The notes on one request.

    Parameters
    ----------
    who
        Who calls, where no authorizer knows it.
    shown
        What the request is about, each once.
    action
        What a read turned out to be, where its route is several things.
    write
        Writes the record of a change that is not begun yet; None where it is, or where nothing changes.
    """

    who: str = ""
    shown: dict[Shown, None] = field(default_factory=dict)
    action: Action | None = None
    write: Callable[[], None] | None = None


_notes: ContextVar[Notes | None] = ContextVar("notes of the audit", default=None)


def begin_notes() -> Notes:
    """Return empty notes for a new request."""
    notes = Notes()
    _notes.set(notes)
    return notes


def end_notes() -> None:
    """Let further notes go nowhere."""
    _notes.set(None)


def note_viewer(name: str) -> None:
    """Note who is calling, where no authorizer knows it."""
    if (notes := _notes.get()) is not None:
        notes.who = name


def note_action(action: Action) -> None:
    """Note what a read that is answered turns out to be, where its route can be more than one thing."""
    if (notes := _notes.get()) is not None:
        notes.action = action


def begin_change() -> None:
    """Begin the record of a change by a caller whom no authorizer knows: now it is known to be one.

    Raises
    ------
    Unavailable
        The record cannot be written: nothing may be changed.
    """
    notes = _notes.get()
    if notes is not None and notes.write is not None:
        write, notes.write = notes.write, None
        write()


def note(*, study_uid: str = "", patient: Patient | None = None, hashed: str = "") -> None:
    """Note an exam or a patient that the request is about; give what is known."""
    notes = _notes.get()
    shown = Shown(study_uid, patient if patient and patient.patient_id else None, hashed)
    if notes is not None and shown != Shown():
        notes.shown[shown] = None


def note_rows(rows: Iterable[Mapping[str, Any]]) -> None:
    """Note the exams and patients of the rows of a search, DICOM JSON Model."""
    for study_uid, patient in dict.fromkeys((_text(row, _STUDY), _patient(row)) for row in rows):
        note(study_uid=study_uid, patient=patient)


def note_fields(fields: Mapping[str, Any]) -> None:
    """Note the exam and the patient of fields by DICOM keyword, as events, reports and workitems have them."""
    named = {name: value for name, value in fields.items() if isinstance(value, str)}
    study_uid = named.get("StudyInstanceUID") or named.get("studyUID", "")
    note(study_uid=study_uid, patient=Patient.of(named.get("PatientID"), named.get("IssuerOfPatientID")))


def _patient(row: Mapping[str, Any]) -> Patient | None:
    return Patient.from_dataset(row) if row.get(PATIENT_ID, {}).get("Value") else None


def _text(row: Mapping[str, Any], tag: str) -> str:
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")
