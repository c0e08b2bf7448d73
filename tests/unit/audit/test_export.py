"""The exported days, and the attacks on them: what is changed, removed, added or reordered is found."""

import datetime
import gzip
import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.audit.chain import Finding
from dicom_service.audit.export import ExportedDays, Exporter
from dicom_service.audit.recorder import Recorder
from dicom_service.audit.store import AuditReader, AuditTable
from scripts import verify_audit
from scripts.verify_audit import Scope, Verification
from tests.support.audit import NOON, TABLE, Clock, records, request, serve_once
from tests.support.cloud import bucket
from tests.support.faults import Killed
from tests.support.template import RESOURCES

DAYS = ["2026-01-31", "2026-02-01", "2026-02-02", "2026-02-03"]
BUCKET = "audit-days"
Lines = list[str]


@pytest.fixture
def exporter(recorder: Recorder, clock: Clock) -> Exporter:
    """Return an exporter after three days with five records each and one without any."""
    bucket(BUCKET)
    for day in range(4):
        for number in range(5 if day != 2 else 0):
            serve_once(recorder, request(study=f"1.2.{number}", number=f"{day}.{number}"))
            clock.forward(minutes=1)
        clock.now = NOON + datetime.timedelta(days=day + 1)
    return Exporter(AuditReader(AuditTable(TABLE)), ExportedDays(BUCKET), clock=clock)


def findings(clock: Clock, **changes: Any) -> list[Finding]:
    wanted = {name: value for name, value in changes.items() if name in ("since", "known", "retention_days")}
    check = Verification(AuditReader(AuditTable(TABLE)), ExportedDays(BUCKET), Scope(clock.now.date(), **wanted))
    found = list(check.findings(changes.get("now", clock.now.timestamp())))
    assert check.records >= changes.get("floor", 15)
    return found


def key(day: str) -> str:
    return f"accesses/{day[:4]}/{day}.jsonl.gz"


def read(day: str) -> Lines:
    data = aws.s3().get_object(Bucket=BUCKET, Key=key(day))["Body"].read()
    return gzip.decompress(data).decode().splitlines()


def rewrite(day: str, lines: Lines) -> None:
    aws.s3().put_object(Bucket=BUCKET, Key=key(day), Body=gzip.compress("\n".join(lines).encode()))


def test_days_that_have_ended_are_exported_once_and_nothing_is_found(exporter: Exporter, clock: Clock) -> None:
    assert exporter.run() == DAYS
    assert exporter.run() == []
    assert [len(read(day)) for day in DAYS] == [7, 7, 2, 7]
    assert findings(clock) == []
    # The record of a day that is exported is what the table has.
    exported = [json.loads(line)["record"] for day in DAYS for line in read(day)[1:-1]]
    assert exported == records()


def test_a_day_that_may_still_change_waits(exporter: Exporter, clock: Clock) -> None:
    clock.now = datetime.datetime(2026, 2, 4, 0, 10, tzinfo=datetime.UTC)
    assert exporter.run() == DAYS[:-1]
    clock.forward(minutes=11)
    assert exporter.run() == DAYS[-1:]
    assert findings(clock) == []


def test_an_export_that_is_killed_goes_on(exporter: Exporter, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    real = aws.s3().put_object
    for _ in DAYS:

        def put(**given: Any) -> Any:
            real(**given)
            raise Killed

        monkeypatch.setattr(aws.s3(), "put_object", put)
        with pytest.raises(Killed):
            exporter.run()
    monkeypatch.setattr(aws.s3(), "put_object", real)
    assert exporter.run() == []
    assert findings(clock) == []


def test_records_of_one_instant_are_exported_in_the_order_of_their_ids(recorder: Recorder, clock: Clock) -> None:
    bucket(BUCKET)
    for number in range(9):
        serve_once(recorder, request(study=f"1.3.{number}"))
    clock.forward(days=2)
    stored = records()
    reader = Rows(DAYS[0], lambda: reversed(stored))
    assert Exporter(reader, ExportedDays(BUCKET), clock=clock).run()[0] == DAYS[0]
    assert [json.loads(line)["record"]["id"] for line in read(DAYS[0])[1:-1]] == [row["id"] for row in stored]


class Rows(AuditReader):
    """Finds the records that a test makes for one day."""

    def __init__(self, day: str, rows: Callable[[], Iterator[dict[str, Any]]]) -> None:
        self._day, self._rows = day, rows

    def find(self, index: str, value: str, **_: Any) -> Iterator[dict[str, Any]]:
        return self._rows() if value == self._day else iter(())


def test_no_day_is_held_in_memory(clock: Clock) -> None:
    """GIVEN a day of 30 MB WHEN it is exported and followed by the next THEN a tenth of it is in memory at most."""
    bucket(BUCKET)

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(300):
            yield {"id": f"{number:03}", "at": f"2026-01-30T00:00:00.{number:03}Z", "route": "x" * 100_000}

    exporter = Exporter(Rows("2026-01-30", rows), ExportedDays(BUCKET), clock=clock)
    tracemalloc.start()
    try:
        assert exporter.run() == ["2026-01-30"]
        clock.forward(days=1)
        assert exporter.run() == ["2026-01-31"]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(read("2026-01-30")) == 302
    assert peak < 3_000_000


def change(lines: Lines) -> Lines:
    return [*lines[:3], lines[3].replace('"who":"clinic"', '"who":"nobody"'), *lines[4:]]


def drop(lines: Lines) -> Lines:
    return lines[:3] + lines[4:]


def swap(lines: Lines) -> Lines:
    return [*lines[:2], lines[3], lines[2], *lines[4:]]


def cut(lines: Lines) -> Lines:
    return lines[:-1]


def insert(lines: Lines) -> Lines:
    return [*lines[:3], lines[3], *lines[3:]]


def garble(lines: Lines) -> Lines:
    return [*lines[:3], "{", *lines[4:]]


@pytest.mark.parametrize(
    ("attack", "kind"),
    [
        (change, "changed"),
        (drop, "missing"),
        (swap, "reordered"),
        (cut, "missing"),
        (insert, "changed"),
        (garble, "changed"),
    ],
)
def test_an_attack_on_the_bucket_is_found_where_it_was(
    exporter: Exporter, clock: Clock, attack: Callable[[Lines], Lines], kind: str
) -> None:
    exporter.run()
    before = read(DAYS[1])
    assert attack(before) != before
    rewrite(DAYS[1], attack(before))
    found = findings(clock, floor=10)
    assert found and found[0].day == DAYS[1]
    assert kind in {finding.kind for finding in found}
    # Control: as it was, nothing is found.
    rewrite(DAYS[1], before)
    assert findings(clock) == []


def test_a_day_that_is_removed_replaced_or_moved_is_found(exporter: Exporter, clock: Clock) -> None:
    exporter.run()
    first, second = read(DAYS[0]), read(DAYS[1])
    rewrite(DAYS[0], second)
    rewrite(DAYS[1], first)
    assert {finding.kind for finding in findings(clock)} >= {"reordered"}
    rewrite(DAYS[0], first)
    aws.s3().delete_object(Bucket=BUCKET, Key=key(DAYS[1]))
    assert Finding("missing", DAYS[1], "the day") in findings(clock, floor=10)
    aws.s3().put_object(Bucket=BUCKET, Key=key(DAYS[1]), Body=b"no gzip")
    assert {finding.day for finding in findings(clock, floor=10)} >= {DAYS[1]}


def test_the_last_days_cannot_be_taken_off(exporter: Exporter, clock: Clock) -> None:
    exporter.run()
    aws.s3().delete_object(Bucket=BUCKET, Key=key(DAYS[-1]))
    clock.forward(days=2)
    assert Finding("missing", DAYS[-1], "the day") in findings(clock, floor=10)


def test_an_attack_on_the_table_is_found_by_its_export(exporter: Exporter, clock: Clock) -> None:
    exporter.run()
    [changed, removed, moved, *_] = [row for row in records() if row["day"] == DAYS[1]]
    table = aws.dynamodb()

    def put(row: dict[str, Any]) -> None:
        table.put_item(TableName=TABLE, Item=aws.to_item(row))

    put(changed | {"who": "nobody"})
    table.delete_item(TableName=TABLE, Key=aws.to_item({"id": removed["id"]}))
    put(moved | {"at": "2026-02-01T09:00:00.000Z"})
    put(changed | {"id": "forged"})
    assert {(finding.kind, finding.what.split()[1]) for finding in findings(clock)} == {
        ("changed", changed["id"]),
        ("missing", removed["id"]),
        ("changed", moved["id"]),
        ("added", "forged"),
    }
    # Control: as it was, nothing is found.
    table.delete_item(TableName=TABLE, Key=aws.to_item({"id": "forged"}))
    for row in (changed, removed, moved):
        put(row)
    assert findings(clock) == []


def test_what_has_expired_may_be_gone_from_the_table(exporter: Exporter, clock: Clock) -> None:
    exporter.run()
    [row, *_] = records()
    aws.dynamodb().delete_item(TableName=TABLE, Key=aws.to_item({"id": row["id"]}))
    assert [finding.kind for finding in findings(clock)] == ["missing"]
    assert findings(clock, now=time.time() + 20 * 365 * 86_400) == []
    assert findings(clock, since=DAYS[1]) == []


def test_days_that_have_expired_are_not_missed(exporter: Exporter, clock: Clock) -> None:
    # GIVEN days that are kept for 30 days, the oldest of which is gone
    clock.forward(days=28)
    assert len(exporter.run()) == 32
    end_of_first = ExportedDays(BUCKET).end_of(DAYS[0])
    aws.s3().delete_object(Bucket=BUCKET, Key=key(DAYS[0]))
    kept: dict[str, Any] = {"retention_days": 30, "floor": 10}
    assert findings(clock, **kept) == []
    assert findings(clock, **kept, known=end_of_first) == []
    assert findings(clock, **kept, known="0" * 63)

    # BUT one that is younger than that is missed, unless the hash of its end is known
    younger = kept | {"retention_days": 60}
    assert {finding.day for finding in findings(clock, **younger)} == {DAYS[1]}
    assert findings(clock, **younger, known=end_of_first) == []
    # AND one in the middle is in any case
    aws.s3().delete_object(Bucket=BUCKET, Key=key(DAYS[2]))
    assert Finding("missing", DAYS[2], "the day") in findings(clock, **kept)


def verify(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the script on a stack whose outputs are those of these tests."""
    outputs = {"AuditTable": TABLE, "AuditBucket": BUCKET}
    stack = {
        "Outputs": [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()],
        "Parameters": [{"ParameterKey": "AuditRetentionDays", "ParameterValue": "3653"}],
    }
    described = SimpleNamespace(describe_stacks=lambda **_: {"Stacks": [stack]})
    real = boto3.client
    monkeypatch.setattr(
        boto3, "client", lambda name, **given: described if name == "cloudformation" else real(name, **given)
    )
    return verify_audit.main(arguments)


def test_an_emptied_bucket_is_found_and_one_that_never_had_a_day_is_not_checked(
    exporter: Exporter, clock: Clock, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN records of days that have ended, and a bucket without a day THEN that is a finding
    assert findings(clock, floor=0) == [Finding("missing", DAYS[1], "the day, and all others")]
    assert verify(monkeypatch) == 1
    # AND once there are neither, nothing was checked, which is no success
    for row in records():
        aws.dynamodb().delete_item(TableName=TABLE, Key=aws.to_item({"id": row["id"]}))
    assert verify(monkeypatch) == 2
    assert verify(monkeypatch, "--known", "0" * 64) == 1
    assert "no day has been exported yet" in capsys.readouterr().err
    # Control: a day without records is exported, and checked.
    assert exporter.run() == DAYS[-1:]
    assert findings(clock, floor=0) == []


def test_a_locked_day_cannot_be_removed_and_what_hides_it_is_found(exporter: Exporter, clock: Clock) -> None:
    """GIVEN the bucket as the template makes it with ``AuditExport=locked`` THEN its versions stay."""
    _, lock, _ = deepcopy(RESOURCES["AuditBucket"]["Properties"]["ObjectLockConfiguration"]["Fn::If"])
    s3 = aws.s3()
    s3.delete_bucket(Bucket=BUCKET)
    s3.create_bucket(
        Bucket=BUCKET,
        CreateBucketConfiguration={"LocationConstraint": "eu-south-1"},
        ObjectLockEnabledForBucket=True,
    )
    lock["Rule"]["DefaultRetention"]["Days"] = 3653
    s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=lock)
    assert exporter.run() == DAYS

    versions = s3.list_object_versions(Bucket=BUCKET)["Versions"]
    for version in versions:
        for bypass in (False, True):
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.delete_object(
                    Bucket=BUCKET,
                    Key=version["Key"],
                    VersionId=version["VersionId"],
                    BypassGovernanceRetention=bypass,
                )
    assert len(versions) == len(DAYS)
    assert findings(clock) == []
    rewrite(DAYS[1], read(DAYS[1])[:-2])
    assert findings(clock, floor=14)
