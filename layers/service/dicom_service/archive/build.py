"""One build of an archive: the exam from the PACS into a ZIP in the cache bucket, going on where it stopped."""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import Any

from dicom_service import aws, log
from dicom_service.archive.checkpoint import Checkpoint, Checkpoints
from dicom_service.archive.contents import Contents, places_in_series
from dicom_service.archive.instances import Fetched, fetch_all, list_instances, stream
from dicom_service.archive.table import CANCELLED, FAILED, SERVICE, Archive, ArchivesTable, LeaseLost
from dicom_service.archive.zip_stream import MultipartUpload, PartSink, ZipStream
from dicom_service.aws import messages
from dicom_service.aws.sqs_worker import DeadLetter, Done, Outcome, Retry, backoff
from dicom_service.errors import NotFound, ServiceError
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.isolation import UnexpectedError, isolate
from dicom_service.otp.exam import only_patient
from dicom_service.pacs import NO_EXAM
from dicom_service.patient import Patient
from dicomweb.client import DicomwebClient

logger = log.get_logger()

# A killed invocation makes at most so much to be done again.
SAVED_EVERY = 256 * 1024 * 1024
# Nothing is begun with less time than this: one instance may take long.
MARGIN = 180
_REPORT_EVERY = 5.0
# Receives of the message: after a kill it mostly comes once before the lease ends, so that four kills use up eight.
_ATTEMPTS = 8
# Deliveries after which a build that its request never wrote down is forgotten.
_UNWRITTEN = 4
_OVER = frozenset({"REVOKED", "SUSPENDED"})


class Cancelled(Exception):
    """Nobody who asked for the archive may have it any more."""


@dataclass(frozen=True)
class BuilderParts:
    """What a build works with.

    Parameters
    ----------
    otps_table
        The codes, whose revocation cancels.
    label_of
        Returns the label of a patient, as cached files have it.
    queue_url
        Where a build goes on that has no time left.
    """

    client: DicomwebClient
    table: ArchivesTable
    checkpoints: Checkpoints
    otps_table: str
    label_of: Callable[[Patient], str]
    queue_url: str


class Builder:
    """Builds archives.

    Parameters
    ----------
    parts
        What it works with.
    clock
        Monotonic seconds.
    """

    def __init__(self, parts: BuilderParts, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._clock = clock

    def build(self, message: Mapping[str, Any], attempt: int, seconds_left: float) -> Outcome:
        """Build the archive that a message names, or as much of it as there is time for.

        Parameters
        ----------
        attempt
            How often the message has been received, 1 the first time.
        seconds_left
            Until the invocation is cut off.
        """
        table, owner = self._parts.table, secrets.token_hex(8)
        archive = table.claim(message["StudyInstanceUID"], message["build"], owner, _ticket(message))
        if archive is None:
            return self._not_mine(message, attempt)
        work = _Work(self._parts, archive, owner, self._clock, self._clock() + seconds_left - MARGIN)
        try:
            return isolate(lambda: self._go(work, message, attempt))
        except ServiceError as error:
            return self._put_off(work, error, attempt)
        finally:
            work.close()

    def _go(self, work: "_Work", message: Mapping[str, Any], attempt: int) -> Outcome:
        try:
            if attempt > _ATTEMPTS:
                raise UnexpectedError("This archive ended each invocation that was at it.")
            if work.run():
                return Done()
            self._parts.table.release(work.archive, work.owner)
            return self._go_on(message)
        except LeaseLost:
            return self._leave(work)
        except Cancelled:
            return self._end(work, CANCELLED, "REVOKED")
        except NotFound as error:
            return self._end(work, FAILED, error.code)

    def _put_off(self, work: "_Work", error: ServiceError, attempt: int) -> Outcome:
        fields = {"exam": log.hashed(work.archive.study_uid), "code": error.code, **log.describe(error)}
        logger.warning("archive is put off", extra=fields)
        try:
            if attempt >= _ATTEMPTS:
                self._end(work, FAILED, error.code)
                return DeadLetter(error.code)
            self._parts.table.release(work.archive, work.owner)
        except LeaseLost:
            return self._leave(work)
        return Retry(backoff(attempt))

    def _leave(self, work: "_Work") -> Outcome:
        """Leave a build to whoever has it now; nothing of it where nobody has: it was replaced, or erased."""
        found = self._parts.table.get(work.archive.study_uid)
        if found is None or found.build != work.archive.build:
            work.give_up()
        return Done()

    def _not_mine(self, message: Mapping[str, Any], attempt: int) -> Outcome:
        archive = self._parts.table.get(message["StudyInstanceUID"])
        if archive is None or archive.build != message["build"]:
            # Its request may be about to write it down: it queues first.
            return Retry(backoff(attempt)) if attempt < _UNWRITTEN else Done()
        at_work = archive.state not in (FAILED, CANCELLED) and archive.size is None
        # A copy is dropped: the message that is at work comes again where its invocation is killed.
        return Retry(60) if at_work and archive.ticket == _ticket(message) else Done()

    def _go_on(self, message: Mapping[str, Any]) -> Outcome:
        with aws.errors("The archive cannot be queued at the moment; it is tried again."):
            new = {**message, "ticket": secrets.token_hex(8)}
            messages.send_all(self._parts.queue_url, [json.dumps(new)])
        return Done()

    def _end(self, work: "_Work", state: str, reason: str) -> Outcome:
        work.give_up()
        self._parts.table.end(work.archive, work.owner, state, reason)
        return Done()


def _ticket(message: Mapping[str, Any]) -> str:
    """Return what parts a message from its copies; those of earlier versions have none."""
    return str(message.get("ticket", ""))


@dataclass
class _Work:
    """One invocation's part of a build."""

    parts: BuilderParts
    archive: Archive
    owner: str
    clock: Callable[[], float]
    ends_at: float
    reported_at: float = field(default=float("-inf"))
    upload: MultipartUpload | None = None
    sink: PartSink | None = None

    def run(self) -> bool:
        """Go on with the build; False where there is no time left."""
        checkpoints, archive = self.parts.checkpoints, self.archive
        kept = checkpoints.load(archive.checkpoint_key) or self._begin()
        upload = self.upload = MultipartUpload(checkpoints.bucket, archive.key, kept.upload_id, kept.etags)
        if kept.size is None and not self._write(kept, upload):
            return False
        upload.complete()
        # A file that names nobody, or cannot be read, is whose the exam is by the PACS.
        patient = only_patient(
            [patient for one in kept.contents["patients"] if (patient := Patient.of(*one)).patient_id]
        )
        label = self.parts.label_of(patient) if patient else ""
        total = len(kept.instances)
        self.parts.table.finish(archive, self.owner, size=kept.size or 0, total=total, patient=label)
        checkpoints.remove(archive.checkpoint_key)
        logger.info("archive made", extra={"exam": log.hashed(archive.study_uid), "instances": total})
        return True

    def _begin(self) -> Checkpoint:
        instances = list_instances(self.parts.client, self.archive.study_uid)
        upload = MultipartUpload.begin(self.parts.checkpoints.bucket, self.archive.key, self.archive.patients)
        upload.close()
        begun = Checkpoint(upload.upload_id, instances)
        self.parts.checkpoints.save(self.archive.checkpoint_key, begun)
        return begun

    def _write(self, kept: Checkpoint, upload: MultipartUpload) -> bool:
        """Write the ZIP from where it stopped, up to its end or as far as there is time."""
        sink = self.sink = PartSink(upload, kept.position, kept.tail)
        out = ZipStream(sink, time.gmtime(self.archive.requested_at)[:6], kept.entries)
        contents = Contents(Counter(series for series, _ in kept.instances), kept.contents, kept.pictures)
        try:
            for _ in self._add_all(kept, contents, out):
                in_time = self.clock() < self.ends_at
                if not in_time or sink.tell() - kept.position >= SAVED_EVERY:
                    self._save(kept, contents, out, sink, upload)
                if not in_time and kept.next < len(kept.instances):
                    return False
            if not out.entries:
                # The exam was deleted after it was listed.
                raise NotFound(NO_EXAM)
            contents.finish(f"2.25.{int(self.archive.build, 16)}", out)
            kept.size = out.close()
            self._save(kept, contents, out, sink, upload)
        finally:
            out.abandon()
        return True

    def _add_all(self, kept: Checkpoint, contents: Contents, out: ZipStream) -> Iterator[None]:
        study = self.archive.study_uid
        left = [InstanceName(study, series, uid) for series, uid in kept.instances[kept.next :]]
        places = list(places_in_series(kept.instances))
        with closing(fetch_all(self.parts.client, left, lambda: self._report_progress(kept))) as found:
            for fetched in found:
                with fetched.file if fetched else nullcontext():
                    self._report_progress(kept)
                    if fetched:
                        contents.add(fetched.name, places[kept.next], fetched.file, self._rest(fetched, kept), out)
                kept.next += 1
                yield

    def _rest(self, fetched: Fetched, kept: Checkpoint) -> Iterator[bytes] | None:
        """Return the bytes of an instance that was too large to be kept; None for any other."""
        if fetched.size is not None:
            return None

        def pieces() -> Iterator[bytes]:
            for piece in stream(self.parts.client, fetched.name):
                self._report_progress(kept)
                yield piece

        return pieces()

    def _save(
        self, kept: Checkpoint, contents: Contents, out: ZipStream, sink: PartSink, upload: MultipartUpload
    ) -> None:
        kept.etags, kept.position, kept.tail = upload.etags, sink.tell(), sink.tail
        kept.entries, kept.contents, kept.pictures = out.entries, contents.to_json(), contents.pictures
        self.parts.checkpoints.save(self.archive.checkpoint_key, kept)

    def _report_progress(self, kept: Checkpoint) -> None:
        """Write the progress down every few seconds, and check whether anybody still wants the archive.

        Raises
        ------
        LeaseLost
            Another invocation is at it.
        Cancelled
            Those who asked for it may not have it any more.
        """
        now = self.clock()
        if now - self.reported_at < _REPORT_EVERY:
            return
        self.reported_at = now
        try:
            self._check(kept)
        except (LeaseLost, Cancelled):
            # The part that is begun belongs to nobody any more.
            if self.sink:
                self.sink.close()
            raise

    def _check(self, kept: Checkpoint) -> None:
        noted = self.parts.table.progress(self.archive, self.owner, kept.next, len(kept.instances))
        if SERVICE in noted.requesters:
            return
        with aws.errors("One-time passwords cannot be looked up at the moment; try again."):
            keys = [{"otpId": otp_id} for otp_id in noted.requesters]
            states = [item["state"] for item in aws.batch_get(self.parts.otps_table, keys, consistent=True)]
        if all(state in _OVER for state in states):
            raise Cancelled

    def give_up(self) -> None:
        """Leave nothing of a build that comes to nothing; what only earlier invocations sent is left to expire."""
        if self.upload:
            self.parts.checkpoints.give_up(self.archive.key, self.upload.upload_id)
        self.parts.checkpoints.remove(self.archive.checkpoint_key)

    def close(self) -> None:
        """Let go of the threads."""
        if self.upload:
            self.upload.close()
