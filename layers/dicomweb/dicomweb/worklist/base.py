"""The interface of every worklist at a PACS, whatever its protocol.

A workitem is one scheduled procedure step, known by its Study Instance UID. Its states and the moves between them
are those of a Unified Procedure Step (PS3.4 CC.1.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

SCHEDULED = "SCHEDULED"
IN_PROGRESS = "IN PROGRESS"
COMPLETED = "COMPLETED"
CANCELED = "CANCELED"

STATES = (SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED)
FINAL_STATES = (COMPLETED, CANCELED)

_MOVES: dict[str, frozenset[str]] = {
    SCHEDULED: frozenset({IN_PROGRESS, CANCELED}),
    IN_PROGRESS: frozenset({COMPLETED, CANCELED}),
    COMPLETED: frozenset(),
    CANCELED: frozenset(),
}


def may_move(state: str, target: str) -> bool:
    """Return whether a workitem may go from one state to another (PS3.4 Table CC.1.1-2).

    A scheduled workitem can be canceled by request (PS3.4 CC.2.2) but completed only after it was in progress.
    """
    return target in _MOVES[state]


@dataclass(frozen=True)
class WorkitemKey:
    """What a workitem is looked up by.

    Parameters
    ----------
    study_instance_uid
        The study that the procedure will produce.
    workitem_uid
        SOP Instance UID of the procedure step, empty where only the study is known.
    reference
        The backend's own handle of the workitem, where it has one and it is known.
    """

    study_instance_uid: str
    workitem_uid: str = ""
    reference: str | None = None


@dataclass(frozen=True)
class Workitem:
    """One scheduled procedure step.

    Parameters
    ----------
    study_instance_uid
        The study that the procedure will produce; the name of the workitem.
    workitem_uid
        SOP Instance UID of the procedure step.
    fields
        Values by DICOM keyword, as in `attributes.ATTRIBUTES`, without Study Instance UID. Absent means empty.
    state
        One of `STATES`.
    transaction_uid
        The key to a workitem in progress (PS3.4 CC.1.1); whoever holds it owns the workitem.
    reference
        The backend's own handle of the workitem, where it has one.
    """

    study_instance_uid: str
    workitem_uid: str
    fields: Mapping[str, str]
    state: str = SCHEDULED
    transaction_uid: str | None = None
    reference: str | None = None

    @property
    def key(self) -> WorkitemKey:
        """What this workitem is looked up by."""
        return WorkitemKey(self.study_instance_uid, self.workitem_uid, self.reference)

    def changed(self, changes: Mapping[str, str]) -> Workitem:
        """Return the workitem with some fields replaced; an empty value removes the field."""
        merged = {**self.fields, **changes}
        return replace(self, fields={name: value for name, value in merged.items() if value})

    @property
    def schedule(self) -> str:
        """When the step starts, as a sortable `YYYYMMDDHHMMSS` followed by the study."""
        return f"{start_of(self.fields)}#{self.study_instance_uid}"


def start_of(fields: Mapping[str, str]) -> str:
    """Return the scheduled start as fourteen digits, so that it sorts by time."""
    time = fields.get("ScheduledProcedureStepStartTime", "").partition(".")[0]
    return fields.get("ScheduledProcedureStepStartDate", "") + time.ljust(6, "0")


@dataclass(frozen=True)
class Query:
    """Filters of a search. Each must match exactly; None matches everything.

    Parameters
    ----------
    start, end
        Bounds of the scheduled start, both included, `YYYYMMDD` or `YYYYMMDDHHMMSS`.
    """

    patient_id: str | None = None
    accession_number: str | None = None
    modality: str | None = None
    station: str | None = None
    state: str | None = None
    start: str | None = None
    end: str | None = None

    def matches(self, item: Workitem) -> bool:
        """Return whether a workitem meets every filter."""
        when = start_of(item.fields)
        wanted = (
            (self.patient_id, item.fields.get("PatientID")),
            (self.accession_number, item.fields.get("AccessionNumber")),
            (self.modality, item.fields.get("Modality")),
            (self.station, item.fields.get("ScheduledStationAETitle")),
            (self.state, item.state),
        )
        if any(value is not None and value != found for value, found in wanted):
            return False
        if self.start is not None and when < self.start.ljust(14, "0"):
            return False
        return self.end is None or when[: len(self.end)] <= self.end


@dataclass(frozen=True)
class Page:
    """Some of the workitems that a search found.

    Parameters
    ----------
    items
        What was found.
    cursor
        Where the next page starts, None when there is none.
    """

    items: list[Workitem] = field(default_factory=list)
    cursor: str | None = None


class Worklist(Protocol):
    """A worklist at a PACS, whatever protocol it speaks. Workitems are changed in the state that was read last."""

    supported_fields: frozenset[str]
    """The fields that the protocol can hold. The others are lost there."""

    keeps_finished: bool
    """False when a completed or canceled workitem is no longer there."""

    can_delete: bool
    """False when a deleted workitem stays there, canceled, and the caller must hide it."""

    def create(self, item: Workitem) -> Workitem:
        """Add a workitem and return it with the backend's own handle.

        The caller checks first whether its study has one already: of the protocols, only UPS-RS rejects a UID that
        is taken, with `RequestRejected` and the reason ``DUPLICATE``.

        Raises
        ------
        DicomwebError
            The PACS failed.
        """

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Find workitems; filters that the PACS does not support are applied here.

        Raises
        ------
        DicomwebError
            The PACS failed.
        """

    def retrieve(self, key: WorkitemKey) -> Workitem:
        """Return the stored workitem.

        Raises
        ------
        NotFound
            It is not there.
        DicomwebError
            The PACS failed.
        """

    def update(self, item: Workitem, changes: Mapping[str, str]) -> Workitem:
        """Change some fields of a scheduled workitem; an empty value removes the field.

        Raises
        ------
        NotFound
            It is not there.
        DicomwebError
            The PACS failed.
        """

    def change_state(self, item: Workitem, state: str) -> Workitem:
        """Move a workitem to another state; harmless when it is there already.

        Raises
        ------
        NotFound
            It is not there.
        RequestRejected
            The PACS does not allow the move.
        DicomwebError
            The PACS failed.
        """

    def delete(self, item: Workitem) -> None:
        """Take a workitem off the list; harmless when it is gone already.

        Raises
        ------
        DicomwebError
            The PACS failed.
        """
