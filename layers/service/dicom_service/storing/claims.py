"""Claims: each SOPInstanceUID is reserved for one content and one study before its file is sent.

A claim is one item of the table `Instances`::

    SOPInstanceUID                  the instance
    StudyInstanceUID, digest        the one study and content that it belongs to
    token                           the writer that made the claim last
    claimedAt, leaseUntil           milliseconds; until leaseUntil no other content may replace the claim
    suspected, stops                the PACS stopped responding to this content; how often when it was sent alone
    expiresAt                       seconds; from then on only the PACS is searched

That an instance was *stored* is not written here: the registry of exams says so (`dicom_service.exams.registry`), so
an ordinary file costs one item. A claim whose writer was killed blocks nothing once its lease has expired.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dicom_service import aws
from dicom_service.patient import Patient
from dicom_service.settings import setting

# After this the PACS itself is compared, which is slower and has the same result.
_KEPT_DAYS = 400
_AT_ONCE = 100
_BUSY = "Instances cannot be claimed at the moment; try again."


@dataclass(frozen=True)
class ClaimSettings:
    """The tables of claims and of exams."""

    table: str = setting("INSTANCES_TABLE")
    exams_table: str = setting("EXAMS_TABLE")


@dataclass(frozen=True)
class Claim:
    """A claim on an instance, requested or existing; times are in milliseconds."""

    sop_instance_uid: str
    study_instance_uid: str
    digest: str
    token: str = ""
    lease_until: int = 0
    stops: int = 0
    suspected: bool = False

    def is_same(self, other: "Claim") -> bool:
        """Return whether both are for the same content in the same study."""
        return (self.study_instance_uid, self.digest) == (other.study_instance_uid, other.digest)


class Claims:
    """The table of claims.

    Parameters
    ----------
    settings
        Its name.
    lease
        Seconds for which a claim is active: longer than its writer can live.
    clock
        Seconds since the epoch.
    """

    def __init__(self, settings: ClaimSettings, *, lease: float, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._lease = lease
        self._clock = clock

    @property
    def now(self) -> int:
        """Milliseconds since the epoch."""
        return int(self._clock() * 1000)

    def wanted(self, sop_instance_uid: str, study_instance_uid: str, digest: str) -> Claim:
        """Return a new claim, which is not made yet."""
        until = self.now + int(self._lease * 1000)
        return Claim(sop_instance_uid, study_instance_uid, digest, secrets.token_hex(8), until)

    def make(self, claims: Sequence[Claim]) -> dict[str, Claim]:
        """Make claims on instances that nobody has claimed, with one request for up to 100.

        Returns
        -------
        dict
            The claims that exist already, by SOPInstanceUID; none of them was changed.
        """
        standing: dict[str, Claim] = {}
        for start in range(0, len(claims), _AT_ONCE):
            standing |= self._make(list(claims[start : start + _AT_ONCE]))
        return standing

    def _make(self, claims: list[Claim]) -> dict[str, Claim]:
        standing: dict[str, Claim] = {}
        for _ in aws.tries():
            taken = self._put(claims)
            # A claim may be released before it is read; its instance is then claimed again.
            found = self._read(taken)
            standing |= found
            claims = [claim for claim in claims if claim.sop_instance_uid not in found]
            if not taken or not claims:
                return standing
        raise aws.Busy(_BUSY)

    def _put(self, claims: Sequence[Claim]) -> list[str]:
        """Put all claims, or none of them and return the SOPInstanceUIDs that are taken."""
        puts: list[Any] = [
            {
                "TableName": self._settings.table,
                "Item": aws.to_item(self._item(claim)),
                "ConditionExpression": "attribute_not_exists(SOPInstanceUID)",
            }
            for claim in claims
        ]
        try:
            with aws.errors(_BUSY):
                if len(puts) == 1:
                    aws.patiently(lambda: aws.dynamodb().put_item(**puts[0]))
                else:
                    aws.transact([{"Put": put} for put in puts])
        except aws.ConditionFailed as failed:
            return [claims[position].sop_instance_uid for position in sorted(failed.positions)]
        return []

    def _item(self, claim: Claim) -> dict[str, Any]:
        now = self.now
        return {
            "SOPInstanceUID": claim.sop_instance_uid,
            "StudyInstanceUID": claim.study_instance_uid,
            "digest": claim.digest,
            "token": claim.token,
            "claimedAt": now,
            "leaseUntil": claim.lease_until,
            "expiresAt": now // 1000 + _KEPT_DAYS * 86400,
        }

    @aws.errors(_BUSY)
    def _read(self, uids: Iterable[str]) -> dict[str, Claim]:
        keys = [{"SOPInstanceUID": uid} for uid in uids]
        return {
            item["SOPInstanceUID"]: Claim(
                item["SOPInstanceUID"],
                item["StudyInstanceUID"],
                item["digest"],
                item["token"],
                item["leaseUntil"],
                item.get("stops", 0),
                bool(item.get("suspected")),
            )
            for item in aws.batch_get(self._settings.table, keys, consistent=True)
        }

    @aws.errors(_BUSY)
    def stored(self, claims: Sequence[Claim]) -> set[str]:
        """Return the SOPInstanceUIDs of the claims that the registry of exams has as stored, in their study."""
        keys = [
            {"StudyInstanceUID": claim.study_instance_uid, "SOPInstanceUID": claim.sop_instance_uid} for claim in claims
        ]
        found = aws.batch_get(self._settings.exams_table, keys, consistent=True)
        return {item["SOPInstanceUID"] for item in found}

    def replace(self, standing: Claim, claim: Claim) -> bool:
        """Replace a claim, to renew it or to take it over; return False when another writer was faster."""
        item = self._item(claim)
        if standing.is_same(claim):
            item |= {"stops": standing.stops or None, "suspected": standing.suspected or None}
        return self._conditionally(
            aws.dynamodb().put_item,
            Item=aws.to_item(item),
            ConditionExpression="#token = :token",
            ExpressionAttributeNames={"#token": "token"},
            ExpressionAttributeValues=aws.to_item({":token": standing.token}),
        )

    def release(self, claim: Claim) -> None:
        """Remove a claim whose content is not sent; one that cannot be removed expires with its lease."""
        self._conditionally(
            aws.dynamodb().delete_item,
            Key=aws.to_item({"SOPInstanceUID": claim.sop_instance_uid}),
            ConditionExpression="#token = :token",
            ExpressionAttributeNames={"#token": "token"},
            ExpressionAttributeValues=aws.to_item({":token": claim.token}),
        )

    def note_stop(self, claim: Claim, *, alone: bool) -> int:
        """Record that the PACS stopped responding to this content; return how often when it was sent alone."""
        self._conditionally(
            aws.dynamodb().update_item,
            Key=aws.to_item({"SOPInstanceUID": claim.sop_instance_uid}),
            UpdateExpression="SET suspected = :true ADD stops :one",
            ConditionExpression="digest = :digest",
            ExpressionAttributeValues=aws.to_item({":true": True, ":one": int(alone), ":digest": claim.digest}),
        )
        return claim.stops + int(alone)

    def claim_study(self, study_instance_uid: str, patient: Patient) -> bool:
        """Claim a study that the PACS does not have yet for a patient; return False while another patient's is active.

        The item names the patient as the registry of exams does, for the duration of a lease.
        """
        key = f"#study {study_instance_uid}"
        now = self.now
        until = now + int(self._lease * 1000)
        item = {
            "SOPInstanceUID": key,
            "PatientID": patient.patient_id,
            "IssuerOfPatientID": patient.issuer,
            "leaseUntil": until,
            "expiresAt": until // 1000,
        }
        same = "PatientID = :id AND (IssuerOfPatientID = :issuer OR IssuerOfPatientID = :none OR :issuer = :none)"
        return self._conditionally(
            aws.dynamodb().put_item,
            Item=aws.to_item(item),
            ConditionExpression=f"attribute_not_exists(SOPInstanceUID) OR leaseUntil < :now OR ({same})",
            ExpressionAttributeValues=aws.to_item(
                {":now": now, ":id": patient.patient_id, ":issuer": patient.issuer, ":none": ""}
            ),
        )

    def lock(self, seconds: float) -> Claim | None:
        """Take the one lock under which suspected files are sent, one at a time.

        Returns
        -------
        Claim or None
            The lock, for `release`; None while another function has it.
        """
        place = Claim("#alone", "-", "-", secrets.token_hex(8), self.now + int(seconds * 1000))
        got = self._conditionally(
            aws.dynamodb().put_item,
            Item=aws.to_item(self._item(place)),
            ConditionExpression="attribute_not_exists(SOPInstanceUID) OR leaseUntil < :now",
            ExpressionAttributeValues=aws.to_item({":now": self.now}),
        )
        return place if got else None

    def renewed(self, standing: Claim) -> Claim | None:
        """Return the claim with a lease that lasts for this writer too; None if it was taken over meanwhile."""
        fresh = self.wanted(standing.sop_instance_uid, standing.study_instance_uid, standing.digest)
        if standing.lease_until >= fresh.lease_until:
            return standing
        if not self.replace(standing, fresh):
            return None
        return replace(fresh, stops=standing.stops, suspected=standing.suspected)

    def _conditionally(self, call: Callable[..., Any], **how: Any) -> bool:
        try:
            with aws.errors(_BUSY):
                aws.patiently(lambda: call(TableName=self._settings.table, **how))
        except aws.ConditionFailed:
            return False
        return True
