"""Exam access tokens: issued for a redeemed one-time password, valid for the GET routes of one study."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from dicom_service import aws
from dicom_service.auth.principal import Principal
from dicom_service.otp import codes

_FORM = re.compile(r"exam_[A-Za-z0-9_-]{43}")
_UNREADABLE = "Access tokens cannot be looked up at the moment; try again."


def kind_of(event: Mapping[str, Any]) -> str:
    """Return what a request opens, as the issuer of its exam access token is shown it.

    Parameters
    ----------
    event
        The REQUEST authorizer event of API Gateway.
    """
    resource = str(event.get("resource") or "")
    query = event.get("queryStringParameters") or {}
    file_type = next((str(value) for name, value in query.items() if name.lower() == "filetype"), "")
    if resource.endswith("/report"):
        return "reports"
    if resource.endswith(("/thumbnail", "/rendered")) or "/frames" in resource or file_type.startswith("image/"):
        return "pictures"
    return "files" if resource.endswith("/{instanceUID}") else "lists"


class AccessTokens:
    """Looks up the exam of an access token, and counts its use.

    Parameters
    ----------
    table
        Name of the AccessTokens table.
    otps_table
        Name of the Otps table.
    clock
        Seconds since the epoch.
    """

    def __init__(self, table: str, otps_table: str, *, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._otps_table = otps_table
        self._clock = clock

    def find(self, token: str, opens: str = "lists") -> Principal | None:
        """Return the bearer of a live token whose code was not revoked, or None.

        Parameters
        ----------
        opens
            What the request is counted as (`kind_of`).

        Counting the request is one conditional write, and so a read that misses nothing; the code's state is read
        consistently after it. A revocation that has been answered therefore ends every token with it. Nothing is kept
        in memory.
        """
        if not _FORM.fullmatch(token):
            return None
        token_hash = codes.token_hash(token)
        row = self._count(token_hash, opens)
        state = None if row is None else self._state(row["otpId"])
        # Without its code's row, nothing shows that the token was not revoked: reject it.
        if row is None or state is None or state == "REVOKED":
            return None
        name = codes.viewer(row["otpId"])
        if state == "SUSPENDED":
            return Principal(name, role="suspended")
        return Principal(
            name=name,
            role="exam",
            study_uid=row["studyUID"],
            context={
                "otpId": row["otpId"],
                "examRole": row["role"],
                # Tokens of earlier versions lack the attribute and allowed downloads.
                "download": "true" if row.get("download", True) else "false",
                "showAccesses": "true" if row.get("showAccesses", False) else "false",
                "tokenHash": token_hash,
                "patient": row.get("patient", ""),
                "comparedAt": str(row.get("comparedAt", 0)),
            },
        )

    def end(self, token_hash: str) -> None:
        """End a token at once: its bearer signs out."""
        now = int(self._clock())
        with suppress(aws.ConditionFailed), aws.errors(_UNREADABLE):
            aws.dynamodb().update_item(
                TableName=self._table,
                Key=aws.to_item({"tokenHash": token_hash}),
                UpdateExpression="SET expiresAt = :now, signedOutAt = :now",
                ConditionExpression="expiresAt > :now",
                ExpressionAttributeValues=aws.to_item({":now": now}),
            )

    def _count(self, token_hash: str, opens: str) -> dict[str, Any] | None:
        try:
            with aws.errors(_UNREADABLE):
                answer = aws.dynamodb().update_item(
                    TableName=self._table,
                    Key=aws.to_item({"tokenHash": token_hash}),
                    UpdateExpression="SET requests = requests + :one, lastUsedAt = :now ADD #opens :one",
                    ConditionExpression="expiresAt > :now",
                    ExpressionAttributeNames={"#opens": opens},
                    ExpressionAttributeValues=aws.to_item({":one": 1, ":now": int(self._clock())}),
                    ReturnValues="ALL_NEW",
                )
        except aws.ConditionFailed:
            return None
        return aws.from_item(answer["Attributes"])

    @aws.errors(_UNREADABLE)
    def _state(self, otp_id: str) -> str | None:
        answer = aws.dynamodb().get_item(
            TableName=self._otps_table,
            Key=aws.to_item({"otpId": otp_id}),
            ConsistentRead=True,
            ProjectionExpression="#state",
            ExpressionAttributeNames={"#state": "state"},
        )
        return aws.from_item(answer["Item"]).get("state") if "Item" in answer else None
