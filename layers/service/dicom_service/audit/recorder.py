"""Makes the records of a request: one that reads leaves its record before its answer, one that changes before its work.

A function that is killed has answered nobody, or leaves the record of a change with its outcome unknown.
"""

import base64
import datetime
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dicom_service import log
from dicom_service.audit.actions import ARRIVAL, DOWNLOAD, PICTURE, Action, action_of
from dicom_service.audit.notes import Notes, Shown, begin_change, begin_notes, end_notes
from dicom_service.audit.record import Record, Viewer
from dicom_service.audit.store import AuditWriter
from dicom_service.errors import Unavailable
from dicom_service.patient import Patient, PatientHasher, index_value
from dicomweb.uid import is_uid

logger = log.get_logger()

UNKNOWN = "unknown"
# Credentials of one exam, whose holders may be anybody.
_RECIPIENTS = ("exam", "suspended")
# By keyword, as in this API, and by tag, as DICOMweb allows.
_STUDY_NAMES = ("studyuid", "studyinstanceuid", "0020000d")
_PATIENT_NAMES = ("patientid", "00100020")
# A list that shows more exams is one record: a record for each would take longer than the list.
MOST_EXAMS = 25
# A longer body is no JSON that a route of this service takes.
_LONGEST_BODY = 1_400_000


@dataclass(frozen=True)
class Pending:
    """A request whose record is not complete."""

    record: Record
    asked: Shown
    notes: Notes


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Recorder:
    """Records the requests of one function.

    Parameters
    ----------
    writer
        The table.
    hasher
        Returns the hasher of patients; called when a patient is given as such.
    clock
        The time, with its zone.
    """

    def __init__(
        self,
        writer: AuditWriter,
        hasher: Callable[[], PatientHasher],
        *,
        clock: Callable[[], datetime.datetime] = _now,
    ) -> None:
        self._writer = writer
        self._hasher = hasher
        self._clock = clock

    def begin(self, event: Mapping[str, Any]) -> Pending | None:
        """Begin the record of a request, and write it if the request changes something; None where none is needed.

        What a stranger sends is a change only once the code says so (`notes.begin_change`), and gathered otherwise.

        Raises
        ------
        Unavailable
            The record cannot be written: the request must not be served.
        SettingsError
            The route has no audit action.
        """
        action = action_of(event["httpMethod"], event["resource"])
        notes = begin_notes()
        if action is None:
            return None
        known = (event.get("requestContext") or {}).get("authorizer") or {}
        pending = Pending(self._record(event, action, known), _asked(event, action, known), notes)
        if action.changes:
            notes.write = partial(self._begin, pending)
        if known:
            begin_change()
        return pending

    def _begin(self, pending: Pending) -> None:
        with self._must_be_written():
            self._writer.begin(self._about(_named(pending), pending.notes.shown)[0])

    def finish(self, pending: Pending | None, status: int) -> None:
        """Write the record of a request before its answer leaves.

        Raises
        ------
        Unavailable
            It cannot be written: the answer must not leave. Not raised for a change, whose record was begun.
        """
        end_notes()
        if pending is None:
            return
        answered = _named(replace(pending, record=replace(pending.record, status=status, at=self._clock())))
        changes = pending.record.action.changes
        # A read that failed has shown nothing, whatever was found on the way.
        about = pending.notes.shown if status < 400 or changes else ()
        if status < 400 and pending.notes.action is not None:
            answered = replace(answered, record=replace(answered.record, action=pending.notes.action))
        records = self._about(answered, about)
        if not changes or pending.notes.write is not None:
            with self._must_be_written():
                self._writer.gather(records)
            return
        with _logged():
            self._writer.finish(records)

    def reject(self, event: Mapping[str, Any], context: Mapping[str, Any] | None) -> None:
        """Record that the authorizer rejects a request, which stays rejected where that fails.

        Parameters
        ----------
        event
            The REQUEST authorizer event of API Gateway.
        context
            What the authorizer knows of the caller; None for an unknown credential.
        """
        action = action_of(event["httpMethod"], event["resource"])
        if action is None:
            return
        record = replace(self._record(event, action, context or {}), status=403 if context else 401)
        with _logged():
            self._writer.gather(self._about(Pending(record, _asked(event, action, context or {}), Notes()), ()))

    def arrived(self, viewer: Viewer, request_id: str, route: str, instances: Mapping[Shown, int]) -> None:
        """Record that files which no request holds are in the PACS, before they count as stored.

        Parameters
        ----------
        viewer
            Who sent them.
        request_id
            The request that announced them, where there was one.
        route
            How they came.
        instances
            How many of each exam and patient.

        Raises
        ------
        Unavailable
            It cannot be written: they must come again.
        """
        record = Record(viewer, ARRIVAL, self._clock(), request_id, route, status=200)
        records = [
            replace(record, study_uid=shown.study_uid, patient=self._hash(shown), count=count)
            for shown, count in instances.items()
        ]
        for start in range(0, len(records), MOST_EXAMS):
            with self._must_be_written():
                self._writer.gather(records[start : start + MOST_EXAMS])

    def _record(self, event: Mapping[str, Any], action: Action, known: Mapping[str, Any]) -> Record:
        request = event.get("requestContext") or {}
        route = f"{event['httpMethod']} {event['resource']}"
        request_id = str(request.get("requestId") or "")
        return Record(viewer_of(event, known), _as_asked(event, action), self._clock(), request_id, route)

    def _about(self, pending: Pending, shown: Collection[Shown]) -> list[Record]:
        """Return one record for each exam and patient, at least one; one in all where they are too many."""
        entries = [one.filled(pending.asked) for one in shown] or [pending.asked]
        found = list(dict.fromkeys((one.study_uid, self._hash(one)) for one in entries))
        named = {study for study, patient in found if patient}
        kept = [(study, patient) for study, patient in found if patient or study not in named]
        if len(kept) > MOST_EXAMS:
            patients = {patient for _, patient in kept}
            patient = patients.pop() if len(patients) == 1 else ""
            studies = tuple(sorted({study for study, _ in kept}))
            return [replace(pending.record, patient=patient, studies=studies)]
        return [replace(pending.record, study_uid=study, patient=patient) for study, patient in kept]

    def _hash(self, shown: Shown) -> str:
        if shown.patient is not None:
            return index_value(self._hasher().hash(shown.patient))
        return index_value(shown.hashed) if shown.hashed else ""

    def _must_be_written(self) -> "_logged":
        """Let an error through where accesses that cannot be recorded are rejected (``AuditMode=strict``)."""
        return _logged(swallow=not self._writer.strict)


def viewer_of(event: Mapping[str, Any], known: Mapping[str, Any] | None = None) -> Viewer:
    """Return who sends a request.

    Parameters
    ----------
    event
        The event of API Gateway.
    known
        What the authorizer knows of the caller, where it is not in the event.
    """
    request = event.get("requestContext") or {}
    context: Mapping[str, Any] = known if known is not None else request.get("authorizer") or {}
    return Viewer(
        who=str(context.get("principal") or UNKNOWN),
        role=str(context.get("role") or ""),
        organisation=str(context.get("organisation") or ""),
        address=str((request.get("identity") or {}).get("sourceIp") or ""),
    )


class _logged:
    """Log that a record could not be written, and go on behind the block if that is allowed."""

    def __init__(self, *, swallow: bool = True) -> None:
        self._swallow = swallow

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        """Log an error of the table."""
        if not isinstance(error, Unavailable):
            return False
        logger.error("access not recorded", extra=log.describe(error))
        return self._swallow


def _as_asked(event: Mapping[str, Any], action: Action) -> Action:
    query = {name.lower(): value for name, value in (event.get("queryStringParameters") or {}).items()}
    picture = action is DOWNLOAD and str(query.get("filetype", "")).lower().startswith("image/")
    return PICTURE if picture else action


def _named(pending: Pending) -> Pending:
    """Return a request with who is calling, where the code has found that out."""
    record, who = pending.record, pending.notes.who
    return replace(pending, record=replace(record, viewer=replace(record.viewer, who=who))) if who else pending


def _asked(event: Mapping[str, Any], action: Action, known: Mapping[str, Any]) -> Shown:
    """Return the exam and the patient that a request names: in its path, its query, its token, or its JSON body.

    Of strangers nothing is taken, of recipients of one exam no other exam: they could fill the table, and write into
    the audit of any exam and patient.
    """
    if not known:
        return Shown()
    given: dict[str, Any] = _body(event) if action.changes else {}
    given |= event.get("queryStringParameters") or {}
    given |= event.get("pathParameters") or {}
    values = {name.lower(): value for name, value in given.items() if _is_text(value)}
    study = next((values[name] for name in _STUDY_NAMES if is_uid(values.get(name, ""))), "")
    if known.get("role") in _RECIPIENTS:
        own = study in ("", known.get("studyUID"))
        return Shown(study, hashed=str(known.get("patient") or "")) if own else Shown()
    patient = Patient.of(next((values[name] for name in _PATIENT_NAMES if name in values), ""))
    return Shown(study, patient if patient.patient_id else None)


def _is_text(value: object) -> bool:
    """Whether a value of JSON is text; half a surrogate pair is none, and cannot be hashed."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _body(event: Mapping[str, Any]) -> dict[str, Any]:
    raw = event.get("body") or ""
    if not raw or len(raw) > _LONGEST_BODY:
        return {}
    try:
        body = json.loads(base64.b64decode(raw) if event.get("isBase64Encoded") else raw)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
