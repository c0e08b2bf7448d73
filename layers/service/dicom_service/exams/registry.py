"""The registry of exams: the instances that came through this service, each counted once (architecture.md, "State").

=====================  =============================================================================================
item                   holds
=====================  =============================================================================================
study, instance UID    series, class, modality, source, time: written once, however often it is delivered
study, ``#study``      the state behind announcements: ids, number of instances, last arrival, open sessions,
                       and the last announcement
study, ``#callback``   the PACS's last callback about it (`dicom_service.notifications.callback`)
=====================  =============================================================================================

The instances of a call and the study they belong to change in one transaction, so a crash or a repetition can neither
count an instance twice nor lose one. Each item expires `KEPT_DAYS` after it was written last
(docs/decisions/0021-the-register-of-exams-expires.md).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from dicom_service import aws
from dicom_service.exams.completeness_checks import LONGEST_DELAY, Check, CheckQueue, CheckSettings
from dicom_service.settings import setting

Source = Literal["upload", "drop", "pacs"]

STUDY = "#study"
KEPT_DAYS = 400
# A transaction takes 100 items; one of them is the study's.
_CHUNK = 99
_NOT_WRITABLE = "The arrival cannot be registered at the moment; try again."
# A code string has 16 characters (PS3.5 Table 6.2-1); files that break the rule must not fill an item.
_LONGEST_CODE = 64


@dataclass(frozen=True)
class ExamSettings:
    """The registry of exams, and the quiet period after which an exam of loose files counts as complete."""

    table: str = setting("EXAMS_TABLE")
    checks_queue_url: str = setting("EXAM_CHECKS_QUEUE_URL")
    quiet_period: float = setting("QUIET_PERIOD", cast=float, default=60.0)


@dataclass(frozen=True)
class Arrived:
    """An instance that the PACS has just stored; attributes that the file lacks are empty."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    modality: str
    patient_id: str
    accession_number: str


class ExamRegistry:
    """Registers the instances that came through this service and queues the checks of their exams.

    Parameters
    ----------
    settings
        Tables, queue, quiet period.
    clock
        Seconds since the epoch.
    """

    def __init__(self, settings: ExamSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._checks = CheckQueue(CheckSettings(settings.checks_queue_url))
        self._clock = clock

    def record(self, arrived: Sequence[Arrived], *, source: Source, session: str | None) -> int:
        """Register instances that the PACS has stored, and queue a check of each exam.

        Call it after the PACS has stored them, and again when in doubt. Without a `session` an exam is announced after
        the quiet period; with one, by `complete_session`.

        Parameters
        ----------
        arrived
            Any number of instances of any number of exams.
        source
            How they came.
        session
            The upload they belong to, or None for loose files.

        Returns
        -------
        int
            The number of instances that were not registered before.
        """
        now = int(self._clock() * 1000)
        unique = {(entry.study_instance_uid, entry.sop_instance_uid): entry for entry in arrived}
        studies = _by_study(unique.values())
        # An upload that its client abandons is announced too, but later (`Announcer`).
        delay = LONGEST_DELAY if session else self._settings.quiet_period
        self._checks.enqueue([Check(study, "arrival", arrived_at=now) for study in studies], delay=delay)
        new = 0
        for instances in studies.values():
            for start in range(0, len(instances), _CHUNK):
                new += self._record_chunk(instances[start : start + _CHUNK], source, session, now)
        return new

    def complete_session(self, session: str, studies: Iterable[str]) -> None:
        """Announce the exams of an upload that has ended, whether all its files were good, some, or it expired.

        Parameters
        ----------
        session
            The upload.
        studies
            StudyInstanceUIDs of its exams. Repeating the call is harmless.
        """
        ended = sorted(set(studies))
        for study in ended:
            self._close(study, session)
        self._checks.enqueue([Check(study, "session") for study in ended])

    @aws.errors("The registry of exams cannot be read at the moment; try again.")
    def study(self, study_instance_uid: str) -> dict[str, Any] | None:
        """Return the study's item as it is now, or None when nothing is known of it."""
        return aws.get(self._settings.table, {"StudyInstanceUID": study_instance_uid, "SOPInstanceUID": STUDY})

    def _record_chunk(self, instances: list[Arrived], source: Source, session: str | None, now: int) -> int:
        while instances:
            puts = [self._put(entry, source, now) for entry in instances]
            update = self._arrival(instances, source, session, now)
            try:
                with aws.errors(_NOT_WRITABLE):
                    aws.transact([*puts, update])
            except aws.ConditionFailed as failed:
                # These are registered already. Only puts have conditions, so each round removes at least one.
                instances = [entry for position, entry in enumerate(instances) if position not in failed.positions]
                continue
            return len(instances)
        return 0

    def _put(self, entry: Arrived, source: Source, now: int) -> Any:
        item = {
            "StudyInstanceUID": entry.study_instance_uid,
            "SOPInstanceUID": entry.sop_instance_uid,
            "SeriesInstanceUID": entry.series_instance_uid,
            "SOPClassUID": entry.sop_class_uid,
            "Modality": entry.modality[:_LONGEST_CODE] or None,
            "source": source,
            "arrivedAt": now,
            "expiresAt": expiry(now),
        }
        return {
            "Put": {
                "TableName": self._settings.table,
                "Item": aws.to_item(item),
                "ConditionExpression": "attribute_not_exists(SOPInstanceUID)",
            }
        }

    def _arrival(self, instances: list[Arrived], source: Source, session: str | None, now: int) -> Any:
        sets: dict[str, Any] = {"lastArrivedAt": now, "lastSource": source, "expiresAt": expiry(now)}
        for entry in instances:
            sets |= {"PatientID": entry.patient_id} if entry.patient_id else {}
            sets |= {"AccessionNumber": entry.accession_number} if entry.accession_number else {}
        adds: dict[str, Any] = {"instances": len(instances)}
        adds["openSessions"] = {session} if session else set()
        adds = {key: value for key, value in adds.items() if value}
        expression = "SET " + ", ".join(f"{key} = :{key}" for key in sets)
        expression += " ADD " + ", ".join(f"{key} :{key}" for key in adds)
        return {
            "Update": {
                "TableName": self._settings.table,
                "Key": self._key(instances[0].study_instance_uid, STUDY),
                "UpdateExpression": expression,
                "ExpressionAttributeValues": aws.to_item({f":{key}": value for key, value in (sets | adds).items()}),
            }
        }

    def _close(self, study: str, session: str) -> None:
        with (
            suppress(aws.ConditionFailed),
            aws.errors("The end of the upload cannot be recorded at the moment; try again."),
        ):
            # While other instances of the study arrive, each in a transaction with this item.
            aws.patiently(
                lambda: aws.dynamodb().update_item(
                    TableName=self._settings.table,
                    Key=self._key(study, STUDY),
                    UpdateExpression="DELETE openSessions :session",
                    ConditionExpression="contains(openSessions, :one)",
                    ExpressionAttributeValues=aws.to_item({":session": {session}, ":one": session}),
                )
            )

    def _key(self, study: str, instance: str) -> dict[str, Any]:
        return aws.to_item({"StudyInstanceUID": study, "SOPInstanceUID": instance})


def expiry(now: int) -> int:
    """Return when an item that is written now expires, in seconds; `now` is in milliseconds."""
    return now // 1000 + KEPT_DAYS * 86_400


def _by_study(arrived: Iterable[Arrived]) -> dict[str, list[Arrived]]:
    studies: dict[str, list[Arrived]] = {}
    for entry in arrived:
        studies.setdefault(entry.study_instance_uid, []).append(entry)
    return studies
