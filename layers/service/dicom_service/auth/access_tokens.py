"""Exam access tokens: what a redeemed one-time password gives, good for one study's GET routes and nothing else."""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service import aws
from dicom_service.auth.principal import Principal
from dicom_service.errors import Unavailable

_FORM = re.compile(r"exam_[A-Za-z0-9_-]{43}")


class AccessTokens:
    """Finds what an access token opens, and counts that it was used.

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

    def find(self, token: str) -> Principal | None:
        """Give the bearer of a live token whose code was not revoked, or None.

        Counting the request is one conditional write, and so a read that misses nothing; the code's state is read
        consistently after it. A revocation that has been answered therefore ends every token with it. Nothing is kept
        in memory.

        Raises
        ------
        Unavailable
            The tables do not answer; the token may be good.
        """
        if not _FORM.fullmatch(token):
            return None
        try:
            row = self._count(hashlib.sha256(token.encode()).hexdigest())
            if row is None or not self._is_live(row["otpId"]):
                return None
        except (ClientError, BotoCoreError) as error:
            raise Unavailable("Access tokens cannot be looked up at the moment; try again.") from error
        return Principal(
            name=f"otp:{row['otpId']}",
            role="exam",
            study_uid=row["studyUID"],
            context={
                "otpId": row["otpId"],
                "examRole": row["role"],
                # Tokens of earlier versions have none, and they opened the files.
                "download": "true" if row.get("download", True) else "false",
            },
        )

    def _count(self, token_hash: str) -> dict[str, Any] | None:
        try:
            answer = aws.dynamodb().update_item(
                TableName=self._table,
                Key=aws.to_item({"tokenHash": token_hash}),
                UpdateExpression="SET requests = requests + :one, lastUsedAt = :now",
                ConditionExpression="expiresAt > :now",
                ExpressionAttributeValues=aws.to_item({":one": 1, ":now": int(self._clock())}),
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return None
            raise
        return aws.from_item(answer["Attributes"])

    def _is_live(self, otp_id: str) -> bool:
        answer = aws.dynamodb().get_item(
            TableName=self._otps_table,
            Key=aws.to_item({"otpId": otp_id}),
            ConsistentRead=True,
            ProjectionExpression="#state",
            ExpressionAttributeNames={"#state": "state"},
        )
        # A row that is gone proves nothing: the token ends with it.
        return "Item" in answer and aws.from_item(answer["Item"]).get("state") != "REVOKED"
