"""DynamoDB that answers only a part of a batch, as it does when it is busy."""

from typing import Any

import pytest

from dicom_service import aws
from dicom_service.errors import Unavailable
from dicom_service.otp.store import OtpStore, OtpTables
from tests.support.cloud import cloud

HASHES = [f"hash-{number}" for number in range(5)]


class Busy:
    """A client that reads one key a call and names the others as unprocessed."""

    def __init__(self, client: Any, answers: int = 10**6) -> None:
        self._client = client
        self.calls = 0
        self.answers = answers

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        [(table, request)] = RequestItems.items()
        taken = 1 if self.calls <= self.answers else 0
        first = {**request, "Keys": request["Keys"][:taken]}
        found = self._client.batch_get_item(RequestItems={table: first}) if taken else {"Responses": {table: []}}
        rest = {**request, "Keys": request["Keys"][taken:]}
        return {"Responses": found["Responses"], "UnprocessedKeys": {table: rest} if rest["Keys"] else {}}


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch, pauses: list[int]) -> Any:
    with cloud(monkeypatch, {"AccessTokensTable": "AccessTokensTable"}):
        client = aws.dynamodb()
        for value in HASHES:
            client.put_item(TableName="AccessTokensTable", Item=aws.to_item({"tokenHash": value}))
        stand_in = Busy(client)
        with monkeypatch.context() as patched:
            patched.setattr(aws.clients, "dynamodb", lambda: stand_in)
            yield stand_in


def store() -> OtpStore:
    return OtpStore(OtpTables("OtpsTable", "AccessTokensTable", "ExamEventsTable", "OtpSubjectsTable"))


def test_no_token_is_missing_when_a_batch_is_answered_in_parts(busy: Busy) -> None:
    assert sorted(store().tokens([*HASHES, "unknown"])) == HASHES
    assert busy.calls == 6


def test_keys_that_are_never_read_are_an_error_not_an_absence(busy: Busy) -> None:
    busy.answers = 2
    with pytest.raises(Unavailable):
        store().tokens(HASHES)
    assert busy.calls == 12
