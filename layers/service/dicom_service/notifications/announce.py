"""Announcing: one event for an exam that is complete, and one more when it has grown since.

An exam is complete when its upload has ended, else when nothing has arrived for the quiet period, else when the PACS
says so. What is announced is what the PACS has at that moment, never what a caller claims. The event and the digest
of what it told are written in one transaction on condition that nobody else announced meanwhile, so the same content
reported by two ways makes one event.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dicom_service import aws, log
from dicom_service.aws.sqs_worker import DeadLetter, Done, Outcome, Retry, backoff
from dicom_service.exams.checks import LONGEST_DELAY, Check
from dicom_service.exams.registry import STUDY, ExamRegistry, ExamSettings, expiry
from dicom_service.notifications.study_snapshot import Searches, StudySnapshot, read_snapshot
from dicom_service.outbox import Event, Outbox, OutboxSettings
from dicom_service.patient import Patient
from dicom_service.settings import setting

logger = log.get_logger()

DETAIL_TYPE = "Exam Uploaded"
# An upload whose client went away without a word: its session is not waited for longer than this, in ms.
_ABANDONED = 3600_000
# How often a study that the PACS does not know (yet), or not wholly, is looked for.
_UNKNOWN_LOOKS, _PARTIAL_LOOKS, _UNWRITTEN_LOOKS = 8, 5, 2


@dataclass(frozen=True)
class AnnounceSettings:
    """Where exams, events and checks are."""

    exams_table: str = setting("EXAMS_TABLE")
    events_table: str = setting("EXAM_EVENTS_TABLE")
    checks_queue_url: str = setting("EXAM_CHECKS_QUEUE_URL")
    dead_checks_queue_url: str = setting("DEAD_EXAM_CHECKS_QUEUE_URL")
    quiet_period: float = setting("QUIET_PERIOD", cast=float, default=60.0)


class Announcer:
    """Looks at exams that may be complete and announces those that are.

    Parameters
    ----------
    settings
        Tables and the quiet period.
    pacs
        Searched for what it holds of an exam.
    reconcile
        Called with StudyInstanceUID, AccessionNumber and PatientID of every complete exam, to complete its workitem.
    watch
        Called with StudyInstanceUID and the patients that the PACS has under it, of every exam that is looked at.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: AnnounceSettings,
        pacs: Searches,
        *,
        reconcile: Callable[[str, str, str], object],
        watch: Callable[[str, Sequence[Patient]], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._pacs = pacs
        self._reconcile = reconcile
        self._watch = watch
        self._clock = clock
        exams = ExamSettings(settings.exams_table, settings.checks_queue_url, settings.quiet_period)
        self._registry = ExamRegistry(exams)
        self._outbox = Outbox(OutboxSettings(settings.events_table))

    def look(self, check: Check, attempt: int) -> Outcome:
        """Announce the exam if it is complete and not announced as it is.

        Parameters
        ----------
        check
            Which exam, and why.
        attempt
            How often this check has come up, 1 the first time.

        Raises
        ------
        PacsError
            The PACS cannot be asked now.
        Unavailable
            A table cannot be read or written now.
        """
        uid = check.study_instance_uid
        study = self._registry.study(uid) or {}
        waiting = self._incomplete(check, study, attempt)
        if waiting is not None:
            return waiting
        snapshot = read_snapshot(self._pacs, uid)
        if snapshot is None:
            return self._unknown(check, study, attempt)
        # Before anything else: a second patient closes the exam for those whom it was shared with.
        self._watch(uid, snapshot.patients)
        if check.reason == "poll" and check.instances not in (None, snapshot.instances):
            return Done()
        if snapshot.instances < study.get("instances", 0) and attempt <= _PARTIAL_LOOKS:
            # An index that lags behind the store. A PACS where instances were deleted is believed after a while.
            return Retry(backoff(attempt))
        if study.get("announcedDigest") != snapshot.digest and not self._announce(uid, study, snapshot):
            return Retry(1)
        # Also when there was nothing to announce: the function may have been killed right here before.
        self._reconcile(uid, snapshot.accession_number, snapshot.patient_id)
        return Done()

    def _incomplete(self, check: Check, study: dict[str, Any], attempt: int) -> Outcome | None:
        now = self._clock() * 1000
        last = study.get("lastArrivedAt", 0)
        if check.reason == "arrival" and check.arrived_at is not None:
            if last > check.arrived_at:
                return Done()
            if last < check.arrived_at and attempt <= _UNWRITTEN_LOOKS:
                # The check is left before the arrival is written; give the writer time.
                return Retry(backoff(attempt))
        if study.get("openSessions") and now - last < _ABANDONED:
            # The end of the session leaves a check of its own; this one stays in case there is no end.
            return Retry(LONGEST_DELAY) if check.reason == "arrival" else Done()
        quiet_for = now - last
        if check.reason in ("callback", "poll") and quiet_for < self._settings.quiet_period * 1000:
            return Retry(self._settings.quiet_period - quiet_for / 1000)
        return None

    def _unknown(self, check: Check, study: dict[str, Any], attempt: int) -> Outcome:
        if check.reason == "poll" or (check.reason != "callback" and not study):
            return Done()
        if attempt < _UNKNOWN_LOOKS:
            return Retry(backoff(attempt))
        logger.error("the PACS does not know the exam", extra={"exam": log.hashed(check.study_instance_uid)})
        return DeadLetter("UNKNOWN_STUDY")

    def _announce(self, uid: str, study: dict[str, Any], snapshot: StudySnapshot) -> bool:
        """Write the event and what it told; False when another announcement came first."""
        before = study.get("announcedVersion", 0)
        version = before + 1
        now = int(self._clock() * 1000)
        update = {
            "TableName": self._settings.exams_table,
            "Key": aws.to_item({"StudyInstanceUID": uid, "SOPInstanceUID": STUDY}),
            "UpdateExpression": (
                "SET announcedVersion = :version, announcedDigest = :digest, announcedInstances = :instances, "
                "announcedArrivals = :arrivals, announcedAt = :now, expiresAt = :expiry"
            ),
            "ConditionExpression": "announcedVersion = :before" if before else "attribute_not_exists(announcedVersion)",
            "ExpressionAttributeValues": aws.to_item(
                {
                    ":version": version,
                    ":digest": snapshot.digest,
                    ":instances": snapshot.instances,
                    ":arrivals": study.get("instances", 0),
                    ":now": now,
                    ":expiry": expiry(now),
                    ":before": before or None,
                }
            ),
        }
        try:
            with aws.errors("The announcement cannot be written now."):
                self._outbox.write([_event(uid, study, snapshot, version)], [{"Update": update}])
        except (aws.ConditionFailed, aws.Busy):
            return False
        logger.info("announced", extra={"exam": log.hashed(uid), "version": version, "instances": snapshot.instances})
        return True


def _event(uid: str, study: dict[str, Any], snapshot: StudySnapshot, version: int) -> Event:
    own = study.get("instances", 0) > study.get("announcedArrivals", 0)
    detail = {
        "eventType": "CREATED" if version == 1 else "UPDATED",
        "revision": version,
        "source": study["lastSource"] if own else "pacs",
        "StudyInstanceUID": uid,
        "PatientID": snapshot.patient_id,
        "AccessionNumber": snapshot.accession_number,
        "ModalitiesInStudy": list(snapshot.modalities),
        "NumberOfStudyRelatedSeries": snapshot.series,
        "NumberOfStudyRelatedInstances": snapshot.instances,
    }
    return Event(DETAIL_TYPE, detail)
