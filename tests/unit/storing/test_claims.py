"""Claims in batches, some of them taken, at a table that other writers hold."""

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.storing.claims import Claim, Claims, ClaimSettings
from tests.support.cloud import cloud

UIDS = [f"1.2.3.{number}" for number in range(120)]
CONFLICT = ClientError({"Error": {"Code": "TransactionConflictException"}}, "PutItem")


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Iterator[Claims]:
    with cloud(monkeypatch, {"InstancesTable": "Instances", "ExamsTable": "Exams"}):
        yield Claims(ClaimSettings("Instances", "Exams"), lease=60)


def make(claims: Claims, *uids: str) -> set[str]:
    return set(claims.make([claims.wanted(uid, "1.2", f"digest of {uid}") for uid in uids]))


def test_those_of_a_batch_that_are_free_are_claimed_and_the_others_stand(claims: Claims, pauses: list[int]) -> None:
    taken = {UIDS[0], UIDS[70], UIDS[119]}
    assert not make(claims, *taken)
    assert make(claims, *UIDS) == taken
    assert make(claims, *UIDS) == set(UIDS)


def test_a_claim_that_is_released_before_it_is_read_is_made(
    claims: Claims, pauses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    standing = claims.wanted(UIDS[0], "1.2", "other")
    claims.make([standing])
    read, released = claims._read, []

    def read_late(uids: Iterable[str]) -> dict[str, Claim]:
        claims.release(standing)
        released.append(standing)
        return read(uids)

    monkeypatch.setattr(claims, "_read", read_late)
    assert not make(claims, *UIDS[:2]) and released
    assert make(claims, *UIDS[:2]) == set(UIDS[:2])


def test_a_batch_whose_claims_come_and_go_ends(
    claims: Claims, pauses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_put", lambda wanted: [UIDS[0]])
    with pytest.raises(aws.Busy):
        make(claims, UIDS[0])
    assert len(pauses) == 11


def test_a_claim_is_made_and_released_once_another_writers_transaction_is_over(
    claims: Claims, pauses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def conflicts(operation: str) -> None:
        real, errors = getattr(aws.dynamodb(), operation), [CONFLICT] * 2

        def call(**arguments: Any) -> Any:
            if errors:
                raise errors.pop()
            return real(**arguments)

        monkeypatch.setattr(aws.dynamodb(), operation, call)

    conflicts("put_item")
    conflicts("delete_item")
    claim = claims.wanted(UIDS[0], "1.2", "digest")
    assert not claims.make([claim])
    assert make(claims, UIDS[0])
    claims.release(claim)
    assert not make(claims, UIDS[0])
    assert pauses == [0, 1, 0, 1]


def test_a_table_that_refuses_is_unavailable(claims: Claims) -> None:
    aws.dynamodb().delete_table(TableName="Instances")
    claim = claims.wanted(UIDS[0], "1.2", "digest")
    for refused in (lambda: claims.make([claim]), lambda: claims.release(claim), lambda: claims.lock(1)):
        with pytest.raises(aws.AwsError) as error:
            refused()
        assert error.value.status == 503
