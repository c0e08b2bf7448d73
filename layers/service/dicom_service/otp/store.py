"""The tables of one-time passwords, and the conditional writes that limit their uses and attempts.

See security.md, "OTP and tokens".

Redeeming takes two writes. The first charges an attempt before anything is compared, on condition that state, attempts,
expiry and uses allow one. The second, a transaction, counts the use, refunds the attempt, and stores access token and
event. A function killed between them costs the caller one attempt and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

from dicom_service import aws
from dicom_service.otp.model import MAX_ATTEMPTS, Otp, Redemption
from dicom_service.otp.subjects import subject_rows
from dicom_service.outbox import Event, Outbox, OutboxSettings
from dicom_service.settings import setting

_NAMES = {"#state": "state", "#uses": "uses"}
_DAY = 86_400


@dataclass(frozen=True)
class OtpTables:
    """Names of the tables of one-time passwords and access tokens."""

    otps: str = setting("OTPS_TABLE")
    access_tokens: str = setting("ACCESS_TOKENS_TABLE")
    events: str = setting("EXAM_EVENTS_TABLE")
    subjects: str = setting("OTP_SUBJECTS_TABLE")


@dataclass(frozen=True)
class Rejection:
    """A write whose condition failed; `otp` is the current row, if there is one."""

    otp: Otp | None


def _errors() -> AbstractContextManager[None]:
    return aws.errors("One-time passwords cannot be looked up at the moment; try again.", {"Retry-After": "1"})


def _rejection(failed: aws.ConditionFailed) -> Rejection:
    return Rejection(Otp.from_row(failed.item) if failed.item else None)


class OtpStore:
    """Reads and writes one-time passwords; each method raises Unavailable if a table does not answer.

    Parameters
    ----------
    tables
        Names of the tables.
    """

    CHARGE_IF = (
        "#state = :active AND attempts < :maxAttempts AND expiresAt > :now"
        " AND (#uses < maxUses OR attribute_exists(redemptions.#nonce))"
    )
    USE_IF = "#state = :active AND #uses < maxUses AND attribute_not_exists(redemptions.#nonce)"

    def __init__(self, tables: OtpTables) -> None:
        self._tables = tables
        self._outbox = Outbox(OutboxSettings(tables.events))

    def create(self, otp: Otp, event: Event) -> None:
        """Store a new one-time password with its event and index entries, in one transaction."""
        put = {
            "TableName": self._tables.otps,
            "Item": aws.to_item(otp.to_row()),
            "ConditionExpression": "attribute_not_exists(otpId)",
        }
        entries = [{"Put": {"TableName": self._tables.subjects, "Item": row}} for row in subject_rows(otp)]
        with _errors():
            self._outbox.write([event], [{"Put": put}, *entries])

    def charge(self, otp_id: str, nonce: str, now: int) -> Otp | Rejection:
        """Charge an attempt before anything is compared.

        Parameters
        ----------
        nonce
            Hash of the caller's nonce. A use with the same nonce may be repeated: its response may have been lost.
        now
            Seconds since the epoch.
        """
        values = {":one": 1, ":now": now, ":active": "ACTIVE", ":maxAttempts": MAX_ATTEMPTS}
        try:
            with _errors():
                answer = aws.patiently(
                    lambda: aws.dynamodb().update_item(
                        TableName=self._tables.otps,
                        Key=aws.to_item({"otpId": otp_id}),
                        UpdateExpression="SET attempts = attempts + :one, lastAttemptAt = :now",
                        ConditionExpression=self.CHARGE_IF,
                        ExpressionAttributeNames={**_NAMES, "#nonce": nonce},
                        ExpressionAttributeValues=aws.to_item(values),
                        ReturnValues="ALL_NEW",
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
                )
        except aws.ConditionFailed as failed:
            return _rejection(failed)
        return Otp.from_row(aws.from_item(answer["Attributes"]))

    def use(self, otp: Otp, nonce: str, redemption: Redemption, event: Event, compared_at: int = 0) -> Rejection | None:
        """Count a use, refund the attempt, and store access token and event, in one transaction.

        Parameters
        ----------
        compared_at
            When the patient was last compared with the PACS, in seconds since the epoch; 0 if that was not possible.
        """
        tidy_at = max(otp.tidy_at, redemption.token_expires_at + _DAY)
        values = {":one": 1, ":active": "ACTIVE", ":redemption": vars(redemption), ":tidyAt": tidy_at}
        token = {
            "tokenHash": redemption.token_hash,
            "otpId": otp.otp_id,
            "studyUID": otp.study_uid,
            "role": otp.role,
            "download": otp.download,
            "showAccesses": otp.show_accesses,
            "patient": otp.patient,
            "comparedAt": compared_at,
            "expiresAt": redemption.token_expires_at,
            "tidyAt": redemption.token_expires_at + _DAY,
            "requests": 0,
        }
        state = [
            self._update(
                otp.otp_id,
                "SET #uses = #uses + :one, attempts = attempts - :one,"
                " redemptions.#nonce = :redemption, tidyAt = :tidyAt",
                self.USE_IF,
                values,
                {**_NAMES, "#nonce": nonce},
            ),
            {"Put": {"TableName": self._tables.access_tokens, "Item": aws.to_item(token)}},
        ]
        return self._commit(event, state)

    def refund_attempt(self, otp_id: str, nonce: str) -> None:
        """Refund the attempt that a repeated redemption was charged."""
        with suppress(aws.ConditionFailed), _errors():
            aws.patiently(
                lambda: aws.dynamodb().update_item(
                    TableName=self._tables.otps,
                    Key=aws.to_item({"otpId": otp_id}),
                    UpdateExpression="SET attempts = attempts - :one",
                    ConditionExpression="attempts >= :one AND attribute_exists(redemptions.#nonce)",
                    ExpressionAttributeNames={"#nonce": nonce},
                    ExpressionAttributeValues=aws.to_item({":one": 1}),
                )
            )

    def lock(self, otp_id: str, event: Event) -> Rejection | None:
        """Lock a code whose attempts are used up."""
        values = {":active": "ACTIVE", ":locked": "LOCKED", ":maxAttempts": MAX_ATTEMPTS}
        condition = "#state = :active AND attempts >= :maxAttempts AND #uses < maxUses"
        return self._commit(event, [self._update(otp_id, "SET #state = :locked", condition, values, _NAMES)])

    def revoke(self, otp_id: str, event: Event) -> Rejection | None:
        """Revoke a code and so its tokens, since each of their requests reads its state."""
        values = {":revoked": "REVOKED"}
        condition = "attribute_exists(otpId) AND #state <> :revoked"
        names = {"#state": "state"}
        return self._commit(event, [self._update(otp_id, "SET #state = :revoked", condition, values, names)])

    def suspend(self, otp_id: str, event: Event) -> Rejection | None:
        """Suspend a code and its tokens until a person decides."""
        values = {":suspended": "SUSPENDED", ":revoked": "REVOKED"}
        condition = "attribute_exists(otpId) AND #state <> :revoked AND #state <> :suspended"
        names = {"#state": "state"}
        return self._commit(event, [self._update(otp_id, "SET #state = :suspended", condition, values, names)])

    def resume(self, otp_id: str, patient: str, event: Event) -> Rejection | None:
        """Resume a suspended code and its tokens, for the patient with this hash."""
        values = {":suspended": "SUSPENDED", ":active": "ACTIVE", ":patient": patient}
        names = {"#state": "state"}
        expression = "SET #state = :active, patient = :patient"
        return self._commit(event, [self._update(otp_id, expression, "#state = :suspended", values, names)])

    def codes_of(self, subject: str) -> Iterator[Otp]:
        """Yield the codes of a subject (`study_subject`, `patient_subject`) in any order, read consistently."""
        for otp_id, _ in self.ids_of(subject):
            otp = self.get(otp_id)
            if otp is not None:
                yield otp

    def ids_of(self, subject: str) -> Iterator[tuple[str, int]]:
        """Yield the otpIds of a subject and when they were issued, read consistently; includes codes deleted since."""
        with _errors():
            entries = aws.query(
                TableName=self._tables.subjects,
                KeyConditionExpression="subject = :subject",
                ExpressionAttributeValues=aws.to_item({":subject": subject}),
                ConsistentRead=True,
            )
            for entry in map(aws.from_item, entries):
                yield entry["otpId"], entry.get("createdAt", 0)

    def get_many(self, otp_ids: Sequence[str]) -> list[Otp]:
        """Return codes in the given order, read consistently; deleted ones are left out."""
        keys = [{"otpId": otp_id} for otp_id in otp_ids]
        with _errors():
            rows = aws.batch_get(self._tables.otps, keys, consistent=True)
            found = {row["otpId"]: Otp.from_row(row) for row in rows}
        return [found[otp_id] for otp_id in otp_ids if otp_id in found]

    def get(self, otp_id: str) -> Otp | None:
        """Return a code, read consistently, or None."""
        with _errors():
            row = aws.get(self._tables.otps, {"otpId": otp_id})
        return Otp.from_row(row) if row else None

    def tokens(self, hashes: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the rows of at most 100 access tokens by hash; deleted ones are left out."""
        keys = [{"tokenHash": value} for value in hashes]
        with _errors():
            return {row["tokenHash"]: row for row in aws.batch_get(self._tables.access_tokens, keys)}

    def _update(
        self, otp_id: str, expression: str, condition: str, values: Mapping[str, Any], names: Mapping[str, str]
    ) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._tables.otps,
                "Key": aws.to_item({"otpId": otp_id}),
                "UpdateExpression": expression,
                "ConditionExpression": condition,
                "ExpressionAttributeNames": dict(names),
                "ExpressionAttributeValues": aws.to_item(values),
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        }

    def _commit(self, event: Event, state: Sequence[Mapping[str, Any]]) -> Rejection | None:
        try:
            with _errors():
                self._outbox.write([event], state)
        except aws.ConditionFailed as failed:
            return _rejection(failed)
        return None
