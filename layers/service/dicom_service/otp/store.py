"""Where one-time passwords are kept, and the conditional writes that make them single use.

See security.md, "OTP and tokens".

Redeeming takes two writes. The first charges an attempt, before anything is compared, and only when state, attempts,
expiry and uses allow one. The second, one transaction, counts the use, gives the attempt back, and keeps access token
and event. A function killed between them has cost the caller one attempt and nothing else.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service import aws
from dicom_service.errors import Unavailable
from dicom_service.otp.model import MAX_ATTEMPTS, Otp, Redemption
from dicom_service.otp.subjects import subject_rows
from dicom_service.outbox import Event, Outbox, OutboxSettings
from dicom_service.settings import setting

T = TypeVar("T")

_BUSY = {
    "TransactionConflictException",
    "TransactionConflict",
    "TransactionInProgressException",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
}
_NAMES = {"#state": "state", "#uses": "uses"}
_DAY = 86_400
_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)
_TRY_AGAIN = "One-time passwords cannot be looked up at the moment; try again."


@dataclass(frozen=True)
class OtpTables:
    """Where one-time passwords and access tokens are kept."""

    otps: str = setting("OTPS_TABLE")
    access_tokens: str = setting("ACCESS_TOKENS_TABLE")
    events: str = setting("EXAM_EVENTS_TABLE")
    subjects: str = setting("OTP_SUBJECTS_TABLE")


@dataclass(frozen=True)
class Refusal:
    """A condition did not hold; `otp` is the row as it is, if there is one."""

    otp: Otp | None


class _ConditionFailed(Exception):
    """DynamoDB refused a write because its condition does not hold."""

    def __init__(self, item: Mapping[str, Any] | None) -> None:
        super().__init__("the condition does not hold")
        self.otp = Otp.from_row(aws.from_item(item)) if item else None


class OtpStore:
    """Reads and writes one-time passwords.

    Parameters
    ----------
    tables
        Names of the tables.
    sleep
        Waits between attempts at a row that another transaction holds, in seconds.
    """

    CHARGE_IF = (
        "#state = :active AND attempts < :maxAttempts AND expiresAt > :now"
        " AND (#uses < maxUses OR attribute_exists(redemptions.#nonce))"
    )
    USE_IF = "#state = :active AND #uses < maxUses AND attribute_not_exists(redemptions.#nonce)"

    def __init__(self, tables: OtpTables, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._tables = tables
        self._outbox = Outbox(OutboxSettings(tables.events))
        self._sleep = sleep

    def create(self, otp: Otp, event: Event) -> None:
        """Keep a new one-time password, its event, and what it is found by, in one write.

        Raises
        ------
        Unavailable
            The table does not take it.
        """
        put = {
            "TableName": self._tables.otps,
            "Item": aws.to_item(otp.to_row()),
            "ConditionExpression": "attribute_not_exists(otpId)",
        }
        entries = [{"Put": {"TableName": self._tables.subjects, "Item": row}} for row in subject_rows(otp)]
        self._patiently(lambda: self._outbox.write([event], [{"Put": put}, *entries]))

    def charge(self, otp_id: str, nonce: str, now: int) -> Otp | Refusal:
        """Charge one attempt, before anything is compared.

        Parameters
        ----------
        nonce
            Hash of the caller's nonce. Whoever has used the code with it may try again: the reply may have been lost.
        now
            Seconds since the epoch.

        Raises
        ------
        Unavailable
            The table does not answer.
        """
        values = {":one": 1, ":now": now, ":active": "ACTIVE", ":maxAttempts": MAX_ATTEMPTS}
        try:
            answer = self._patiently(
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
        except _ConditionFailed as failure:
            return Refusal(failure.otp)
        return Otp.from_row(aws.from_item(answer["Attributes"]))

    def use(self, otp: Otp, nonce: str, redemption: Redemption, event: Event, compared_at: int = 0) -> Refusal | None:
        """Count a use, give the attempt back, keep access token and event: one transaction.

        Parameters
        ----------
        compared_at
            When the PACS was last asked whose the exam is, seconds since the epoch; 0 when it could not be.

        Raises
        ------
        Unavailable
            The tables do not answer.
        """
        tidy_at = max(otp.tidy_at, redemption.token_expires_at + _DAY)
        values = {":one": 1, ":active": "ACTIVE", ":redemption": vars(redemption), ":tidyAt": tidy_at}
        token = {
            "tokenHash": redemption.token_hash,
            "otpId": otp.otp_id,
            "studyUID": otp.study_uid,
            "role": otp.role,
            "download": otp.download,
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

    def give_back(self, otp_id: str, nonce: str) -> None:
        """Give back the attempt that a repeated redemption was charged.

        Raises
        ------
        Unavailable
            The table does not answer.
        """
        with suppress(_ConditionFailed):
            self._patiently(
                lambda: aws.dynamodb().update_item(
                    TableName=self._tables.otps,
                    Key=aws.to_item({"otpId": otp_id}),
                    UpdateExpression="SET attempts = attempts - :one",
                    ConditionExpression="attempts >= :one AND attribute_exists(redemptions.#nonce)",
                    ExpressionAttributeNames={"#nonce": nonce},
                    ExpressionAttributeValues=aws.to_item({":one": 1}),
                )
            )

    def lock(self, otp_id: str, event: Event) -> Refusal | None:
        """Lock a code whose attempts are used up.

        Raises
        ------
        Unavailable
            The tables do not answer.
        """
        values = {":active": "ACTIVE", ":locked": "LOCKED", ":maxAttempts": MAX_ATTEMPTS}
        condition = "#state = :active AND attempts >= :maxAttempts AND #uses < maxUses"
        return self._commit(event, [self._update(otp_id, "SET #state = :locked", condition, values, _NAMES)])

    def revoke(self, otp_id: str, event: Event) -> Refusal | None:
        """Revoke a code; the tokens it gave ask for its state and so end with it.

        Raises
        ------
        Unavailable
            The tables do not answer.
        """
        values = {":revoked": "REVOKED"}
        condition = "attribute_exists(otpId) AND #state <> :revoked"
        names = {"#state": "state"}
        return self._commit(event, [self._update(otp_id, "SET #state = :revoked", condition, values, names)])

    def suspend(self, otp_id: str, event: Event) -> Refusal | None:
        """Suspend a code and with it the tokens it gave, until a person decides.

        Raises
        ------
        Unavailable
            The tables do not answer.
        """
        values = {":suspended": "SUSPENDED", ":revoked": "REVOKED"}
        condition = "attribute_exists(otpId) AND #state <> :revoked AND #state <> :suspended"
        names = {"#state": "state"}
        return self._commit(event, [self._update(otp_id, "SET #state = :suspended", condition, values, names)])

    def resume(self, otp_id: str, patient: str, event: Event) -> Refusal | None:
        """Open a suspended code and its tokens again, for this patient (a hash).

        Raises
        ------
        Unavailable
            The tables do not answer.
        """
        values = {":suspended": "SUSPENDED", ":active": "ACTIVE", ":patient": patient}
        names = {"#state": "state"}
        expression = "SET #state = :active, patient = :patient"
        return self._commit(event, [self._update(otp_id, expression, "#state = :suspended", values, names)])

    def about(self, subject: str) -> Iterator[Otp]:
        """Give the codes of a subject (`study_subject`, `patient_subject`), consistently, in no order.

        Raises
        ------
        Unavailable
            The tables do not answer.
        """
        for otp_id, _ in self.ids_about(subject):
            otp = self.get(otp_id)
            if otp is not None:
                yield otp

    def ids_about(self, subject: str) -> Iterator[tuple[str, int]]:
        """Yield the otpIds of a subject and when they were issued, consistently, in no order, those gone too.

        Raises
        ------
        Unavailable
            The table does not answer.
        """
        start: dict[str, Any] = {}
        while True:
            answer = self._patiently(
                lambda start=start: aws.dynamodb().query(  # type: ignore[misc]
                    TableName=self._tables.subjects,
                    KeyConditionExpression="subject = :subject",
                    ExpressionAttributeValues=aws.to_item({":subject": subject}),
                    ConsistentRead=True,
                    **start,
                )
            )
            for item in map(aws.from_item, answer["Items"]):
                yield item["otpId"], item.get("createdAt", 0)
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    def many(self, otp_ids: Sequence[str]) -> list[Otp]:
        """Read rows as they are now, in the order asked for; those that are gone are left out.

        Raises
        ------
        Unavailable
            The table does not answer.
        """
        keys = [{"otpId": otp_id} for otp_id in otp_ids]
        table = self._tables.otps
        rows = self._patiently(lambda: list(aws.batch_get(table, keys, consistent=True)))
        found = {row["otpId"]: Otp.from_row(row) for row in rows}
        return [found[otp_id] for otp_id in otp_ids if otp_id in found]

    def get(self, otp_id: str) -> Otp | None:
        """Read one row as it is now.

        Raises
        ------
        Unavailable
            The table does not answer.
        """
        key = aws.to_item({"otpId": otp_id})
        answer = self._patiently(
            lambda: aws.dynamodb().get_item(TableName=self._tables.otps, Key=key, ConsistentRead=True)
        )
        return Otp.from_row(aws.from_item(answer["Item"])) if "Item" in answer else None

    def tokens(self, hashes: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Read access tokens' rows by hash, at most 100; tokens that are gone are left out.

        Raises
        ------
        Unavailable
            The table does not answer.
        """
        if not hashes:
            return {}
        keys = [{"tokenHash": value} for value in hashes]
        table = self._tables.access_tokens
        rows = self._patiently(lambda: list(aws.batch_get(table, keys)))
        return {row["tokenHash"]: row for row in rows}

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

    def _commit(self, event: Event, state: Sequence[Mapping[str, Any]]) -> Refusal | None:
        try:
            self._patiently(lambda: self._outbox.write([event], state))
        except _ConditionFailed as failure:
            return Refusal(failure.otp)
        return None

    def _patiently(self, call: Callable[[], T]) -> T:
        """Repeat a call while another transaction holds the row; an SDK does not do that by itself."""
        pauses = iter(_PAUSES)
        while True:
            try:
                return call()
            except ClientError as error:
                reasons = _reasons(error)
                failed = [reason for reason in reasons if reason["Code"].startswith("ConditionalCheckFailed")]
                if failed:
                    raise _ConditionFailed(failed[0].get("Item")) from error
                pause = next(pauses, None)
                if pause is None or not any(reason["Code"] in _BUSY for reason in reasons):
                    raise Unavailable(_TRY_AGAIN, headers={"Retry-After": "1"}) from error
            except BotoCoreError as error:
                raise Unavailable(_TRY_AGAIN, headers={"Retry-After": "1"}) from error
            self._sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311  (spreads callers, guards nothing)


def _reasons(error: ClientError) -> list[Mapping[str, Any]]:
    """Give why a write was refused: the reasons of a transaction, or the one of a single write."""
    response: Mapping[str, Any] = error.response
    if "CancellationReasons" in response:
        return list(response["CancellationReasons"])
    return [{"Code": response["Error"]["Code"], "Item": response.get("Item")}]
