"""Announces exams: one event for each exam that is complete, and one more when it has grown since.

An exam is complete when its upload has ended; without one, when nothing has arrived for the quiet period, or when the
PACS reports it. What is announced is what the PACS holds at that moment, never what a caller claims. The event and
the digest of the snapshot are written in one transaction on condition that nobody else announced meanwhile, so the
same content reported in two ways makes one event.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_service import aws, log, metrics
from dicom_service.aws.sqs_worker import DeadLetter, Done, Outcome, Queues, Retry, backoff
from dicom_service.exams.completeness_checks import LONGEST_DELAY, Check
from dicom_service.exams.registry import STUDY, ExamRegistry, ExamSettings, expiry
from dicom_service.notifications.study_snapshot import StudySnapshot, read_snapshot
from dicom_service.outbox import Event, Outbox, OutboxSettings
from dicom_service.patient import Patient
from dicom_service.settings import setting

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = log.get_logger()

DETAIL_TYPE = "Exam Uploaded"
# Milliseconds after its last instance when an open session counts as abandoned.
_ABANDONED = 3600_000
# Attempts for a study that the PACS does not know, or not wholly; and for an arrival that is not written yet.
_UNKNOWN_ATTEMPTS, _PARTIAL_ATTEMPTS, _UNWRITTEN_ATTEMPTS = 8, 5, 2


@dataclass(frozen=True)
class AnnounceSettings:
    """The tables of exams and events, the queue of checks, and the quiet period in seconds."""

    exams_table: str = setting("EXAMS_TABLE")
    events_table: str = setting("EXAM_EVENTS_TABLE")
    checks_queue_url: str = setting("EXAM_CHECKS_QUEUE_URL")
    dead_checks_queue_url: str = setting("DEAD_EXAM_CHECKS_QUEUE_URL")
    quiet_period: float = setting("QUIET_PERIOD", cast=float, default=60.0)

    @property
    def queues(self) -> Queues:
        """The queue of checks and its dead letters."""
        return Queues(self.checks_queue_url, self.dead_checks_queue_url)


class Announcer:
    """Announces the exams that are complete.

    Parameters
    ----------
    settings
        Tables and the quiet period.
    pacs
        Searched for what it holds of an exam.
    reconcile
        Called with StudyInstanceUID, AccessionNumber and PatientID of every complete exam, to complete its workitem.
    watch
        Called with StudyInstanceUID and the patients that the PACS has under it, of every exam that is checked.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: AnnounceSettings,
        pacs: "DicomwebClient",
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

    def handle(self, message: Any, attempt: int) -> Outcome:
        """Announce the exam that a message of the queue of checks names, if it is complete."""
        return self.announce(Check.from_message(message), attempt)

    def announce(self, check: Check, attempt: int) -> Outcome:
        """Announce the exam if it is complete and has changed since its last announcement.

        Parameters
        ----------
        check
            The exam, and the reason of the check.
        attempt
            How often the check has been received, 1 the first time.
        """
        uid = check.study_instance_uid
        study = self._registry.study(uid) or {}
        waiting = self._incomplete(check, study, attempt)
        if waiting is not None:
            return waiting
        snapshot = read_snapshot(self._pacs, uid)
        if snapshot is None:
            return self._unknown(check, study, attempt)
        # Before anything else: a second patient suspends the codes of the exam.
        self._watch(uid, snapshot.patients)
        if check.reason == "poll" and check.instances not in (None, snapshot.instances):
            return Done()
        if snapshot.instances < study.get("instances", 0) and attempt <= _PARTIAL_ATTEMPTS:
            # The index may lag behind the store. If the count stays low, instances were deleted in the PACS.
            return Retry(backoff(attempt))
        if study.get("announcedDigest") != snapshot.digest and not self._write(uid, study, snapshot):
            return Retry(1)
        # Also when there was nothing to announce: an earlier attempt may have been killed right here.
        self._reconcile(uid, snapshot.accession_number, snapshot.patient_id)
        return Done()

    def _incomplete(self, check: Check, study: dict[str, Any], attempt: int) -> Outcome | None:
        now = self._clock() * 1000
        last = study.get("lastArrivedAt", 0)
        if check.reason == "arrival" and check.arrived_at is not None:
            if last > check.arrived_at:
                return Done()
            if last < check.arrived_at and attempt <= _UNWRITTEN_ATTEMPTS:
                # The check is queued before the arrival is written.
                return Retry(backoff(attempt))
        if study.get("openSessions") and now - last < _ABANDONED:
            # The end of the session queues a check of its own; this one stays in case there is no end.
            return Retry(LONGEST_DELAY) if check.reason == "arrival" else Done()
        quiet_for = now - last
        if check.reason in ("callback", "poll") and quiet_for < self._settings.quiet_period * 1000:
            return Retry(self._settings.quiet_period - quiet_for / 1000)
        return None

    def _unknown(self, check: Check, study: dict[str, Any], attempt: int) -> Outcome:
        if check.reason == "poll" or (check.reason != "callback" and not study):
            return Done()
        if attempt < _UNKNOWN_ATTEMPTS:
            return Retry(backoff(attempt))
        logger.error("the PACS does not know the exam", extra={"exam": log.hashed(check.study_instance_uid)})
        return DeadLetter("UNKNOWN_STUDY")

    def _write(self, uid: str, study: dict[str, Any], snapshot: StudySnapshot) -> bool:
        """Write the event and the announced state; False when another announcement came first."""
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
        metrics.count("ExamsAnnounced")
        if version == 1 and study.get("lastArrivedAt"):
            metrics.seconds("ArrivalToAnnouncement", (now - study["lastArrivedAt"]) / 1000)
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
