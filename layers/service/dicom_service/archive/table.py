"""The Archives table: one row for each exam that was asked for as a ZIP, and the claim on its one build.

=================  =================================================================================================
attribute          holds
=================  =================================================================================================
StudyInstanceUID   the key
build              id of the build; a new one for each request that begins one
state              ``queued``, ``building``, ``ready``, ``failed``, ``cancelled``
requesters         otpIds of the codes that asked for it; `SERVICE` for other credentials
patients           hashes of the patients that the PACS named when it was asked for
owner, leaseUntil  the invocation that is at work, and until when nobody else may be
ticket             of the message that was at work last: killed, it comes again, so that its copies need not
total, done        instances of the exam, and those that are in the ZIP
=================  =================================================================================================

Every write of a build has its id and owner as a condition: what was taken over or replaced changes nothing any more.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dicom_service import aws

QUEUED, BUILDING, READY, FAILED, CANCELLED = "queued", "building", "ready", "failed", "cancelled"
SERVICE = "service"
# Seconds for which a finished archive can be downloaded; its object lives longer (template.yaml).
LIFETIME = 24 * 3600
# A build that was not heard of for so long is given up: the next request begins another.
SILENCE = 3600
LEASE = 120
_KEPT = 7 * 24 * 3600
_BUSY = "Archives cannot be looked up at the moment; try again."


@dataclass(frozen=True)
class Archive:
    """One row.

    Parameters
    ----------
    patient
        Hashes of the patient whose files alone are in it, as `patient_label` makes them; empty where there are several.
    patients
        Hashes of those that the PACS named when it was asked for, divided by spaces: whom the audit and an erasure
        find it by.
    """

    study_uid: str
    build: str
    state: str
    requested_at: int
    updated_at: int
    requesters: frozenset[str]
    total: int | None = None
    done: int = 0
    size: int | None = None
    patient: str = ""
    expires_at: int | None = None
    reason: str | None = None
    patients: str = ""
    ticket: str = ""

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> "Archive":
        """Read an item."""
        return cls(
            study_uid=item["StudyInstanceUID"],
            build=item["build"],
            state=item["state"],
            requested_at=item["requestedAt"],
            updated_at=item["updatedAt"],
            requesters=frozenset(item.get("requesters", ())),
            total=item.get("total"),
            done=item.get("done", 0),
            size=item.get("size"),
            patient=item.get("patient", ""),
            expires_at=item.get("expiresAt"),
            reason=item.get("reason"),
            # Rows of earlier versions have the label alone.
            patients=item.get("patients") or " ".join(item.get("patient", "").split()[:1]),
            ticket=item.get("ticket", ""),
        )

    def as_told(self, now: float) -> "Archive":
        """Return it as callers see it: a build that was silent for too long has failed, although nobody wrote so."""
        silent = self.state in (QUEUED, BUILDING) and not self.is_alive(now)
        return replace(self, state=FAILED, reason="ARCHIVE_STALLED") if silent else self

    def is_alive(self, now: float) -> bool:
        """Return whether it can be waited for or downloaded, so that no other has to be built."""
        if self.state == READY:
            return self.expires_at is not None and now < self.expires_at
        # Who asks for a queued one touches it: that is not the build.
        heard_at = self.requested_at if self.state == QUEUED else self.updated_at
        return self.state in (QUEUED, BUILDING) and now - heard_at < SILENCE

    @property
    def key(self) -> str:
        """Key of the ZIP in the cache bucket."""
        return f"archives/{self.study_uid}/{self.build}.zip"

    @property
    def checkpoint_key(self) -> str:
        """Key of what its build goes on from."""
        return f"archives/{self.study_uid}/{self.build}.checkpoint"


class LeaseLost(Exception):
    """Another invocation is at this build, or another build has replaced it."""


class ArchivesTable:
    """Reads and writes the Archives table.

    Parameters
    ----------
    name
        The table.
    clock
        Seconds since the epoch.
    """

    def __init__(self, name: str, *, clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._clock = clock

    def now(self) -> int:
        """Return the time in seconds since the epoch."""
        return int(self._clock())

    @aws.errors(_BUSY)
    def get(self, study_uid: str) -> Archive | None:
        """Return the row of an exam, read consistently."""
        item = aws.get(self._name, {"StudyInstanceUID": study_uid})
        return Archive.of(item) if item else None

    def begin(self, study_uid: str, build: str, requester: str, seen: Archive | None, patients: str = "") -> bool:
        """Begin a build in place of what was seen; False if another request was faster."""
        now = self.now()
        item = {
            "StudyInstanceUID": study_uid,
            "build": build,
            "state": QUEUED,
            "requestedAt": now,
            "updatedAt": now,
            "requesters": {requester},
            "patients": patients,
            "ttl": now + _KEPT,
        }
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(StudyInstanceUID)"}
        if seen:
            condition = {
                "ConditionExpression": "build = :seen",
                "ExpressionAttributeValues": aws.to_item({":seen": seen.build}),
            }
        try:
            with aws.errors(_BUSY):
                aws.dynamodb().put_item(TableName=self._name, Item=aws.to_item(item), **condition)
        except aws.ConditionFailed:
            return False
        return True

    def join(self, archive: Archive, requester: str) -> bool:
        """Note one who waits for a build as well; False if it was replaced or ended meanwhile."""
        try:
            self._update(
                archive.study_uid,
                "ADD requesters :one",
                "build = :build AND #state = :state",
                {":one": {requester}, ":build": archive.build, ":state": archive.state},
            )
        except aws.ConditionFailed:
            return False
        return True

    def touch(self, archive: Archive) -> bool:
        """Note that a queued build is queued again; False where it was taken, or another did that."""
        try:
            self._update(
                archive.study_uid,
                "SET updatedAt = :now",
                "build = :build AND #state = :queued AND updatedAt = :seen",
                {":now": self.now(), ":build": archive.build, ":queued": QUEUED, ":seen": archive.updated_at},
            )
        except aws.ConditionFailed:
            return False
        return True

    def claim(self, study_uid: str, build: str, owner: str, ticket: str = "") -> Archive | None:
        """Take the lease on a build; None while another invocation holds it, or when there is nothing to build."""
        now = self.now()
        condition = (
            "build = :build AND #state IN (:queued, :building, :failed)"
            " AND (attribute_not_exists(leaseUntil) OR leaseUntil < :now OR #owner = :owner)"
        )
        expression = "SET #state = :building, #owner = :owner, leaseUntil = :until, updatedAt = :now, ticket = :ticket"
        expression += " REMOVE reason"
        values = {
            ":build": build,
            ":queued": QUEUED,
            ":building": BUILDING,
            ":ticket": ticket,
            ":failed": FAILED,
            ":now": now,
            ":owner": owner,
            ":until": now + LEASE,
        }
        try:
            return self._update(study_uid, expression, condition, values)
        except aws.ConditionFailed:
            return None

    def progress(self, archive: Archive, owner: str, done: int, total: int) -> Archive:
        """Note how far a build is, and renew its lease.

        Raises
        ------
        LeaseLost
            It is another's now.
        """
        now = self.now()
        expression = "SET done = :done, #total = :total, updatedAt = :now, leaseUntil = :until"
        values = {":done": done, ":total": total, ":now": now, ":until": now + LEASE}
        return self._own(archive, owner, expression, values)

    def release(self, archive: Archive, owner: str) -> None:
        """Let go of the lease: the build goes on in another invocation."""
        self._own(archive, owner, "SET leaseUntil = :none, updatedAt = :now", {":none": 0, ":now": self.now()})

    def finish(self, archive: Archive, owner: str, *, size: int, total: int, patient: str) -> None:
        """Note that the ZIP is there."""
        now = self.now()
        expression = "SET #state = :ready, #size = :size, patient = :patient, expiresAt = :until, updatedAt = :now"
        expression += ", done = :total, #total = :total, leaseUntil = :none"
        values = {
            ":ready": READY,
            ":size": size,
            ":patient": patient,
            ":until": now + LIFETIME,
            ":now": now,
            ":none": 0,
            ":total": total,
        }
        self._own(archive, owner, expression, values)

    def end(self, archive: Archive, owner: str, state: str, reason: str) -> None:
        """Note that a build came to nothing."""
        values = {":state": state, ":reason": reason, ":now": self.now(), ":none": 0}
        expression = "SET #state = :state, reason = :reason, updatedAt = :now, leaseUntil = :none"
        self._own(archive, owner, expression, values)

    def _own(self, archive: Archive, owner: str, expression: str, values: Mapping[str, Any]) -> Archive:
        condition = "build = :build AND #owner = :owner AND #state = :building"
        own = {":build": archive.build, ":owner": owner, ":building": BUILDING}
        try:
            return self._update(archive.study_uid, expression, condition, {**values, **own})
        except aws.ConditionFailed as error:
            raise LeaseLost from error

    def _update(self, study_uid: str, expression: str, condition: str, values: Mapping[str, Any]) -> Archive:
        text = expression + condition
        names = {name: name[1:] for name in ("#state", "#owner", "#total", "#size") if name in text}
        with aws.errors(_BUSY):
            answer = aws.dynamodb().update_item(
                TableName=self._name,
                Key=aws.to_item({"StudyInstanceUID": study_uid}),
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames=names,
                ExpressionAttributeValues=aws.to_item(values),
                ReturnValues="ALL_NEW",
            )
        return Archive.of(aws.from_item(answer["Attributes"]))
