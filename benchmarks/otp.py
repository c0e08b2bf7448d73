"""One-time passwords: what redeeming costs beside the writes it cannot do without, and how often each step writes.

Those are one conditional write, which charges the attempt, and one transaction of the same four items (code, access
token, event, in the same form): recorded from a redeem, and sent again for other codes with the bare client.

The parts run in this process, as a function would run them, on the DynamoDB of a MiniStack of their own.
"""

import copy
import io
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Any

from botocore import xform_name

from benchmarks.servers import WorkNotDone, running
from benchmarks.table import Row, pairs
from dicom_service import aws
from dicom_service.otp.store import OtpTables
from tests.support.otp import Harness, keyring, master_secret
from tests.support.template import create_table

ROUNDS = 200
WARM_UP = 10
TABLES = ("OtpsTable", "AccessTokensTable", "ExamEventsTable", "OtpSubjectsTable")
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")


def measure() -> Iterator[Row]:
    """Return redeem beside its bare writes, and the writes of issue and redeem."""
    # The lines of the audit trail are still made, since deployed functions make them too.
    with running(), redirect_stdout(io.StringIO()):
        yield from _rows(_harness())


def _rows(harness: Harness) -> Iterator[Row]:
    writes = _recorded(harness)
    issued = [harness.issue() for _ in range(ROUNDS + WARM_UP)]
    bare = [harness.issue()["otpId"] for _ in range(ROUNDS + WARM_UP)]
    ours, theirs = iter(issued), iter([_same_for(writes, otp_id) for otp_id in bare])
    tokens = len(_tokens(harness))
    timed = pairs(lambda: harness.redeem(next(ours)), lambda: _send(next(theirs)), rounds=ROUNDS, warm_up=WARM_UP)
    _check(harness, [*(entry["otpId"] for entry in issued), *bare], len(_tokens(harness)) - tokens)
    yield timed.row("OTP: redeem, p50", "one conditional write and one transaction, same items", aim=1.15)
    again = harness.issue(max_uses=2)
    harness.redeem(again)
    for name, step, aim in (("issue", harness.issue, 1), ("redeem", lambda: harness.redeem(again), 2)):
        calls, items = _counted(step)
        yield Row(f"OTP: write calls of one {name}", "aim", calls, "calls", aim=aim)
        yield Row(f"OTP: items written by one {name}", "", items, "items")


def _harness() -> Harness:
    """Make the tables, and a master secret."""
    tables = OtpTables(*(create_table(aws.dynamodb(), name) for name in TABLES))
    return Harness(tables, keyring(master_secret("otp-benchmark")), keyring(master_secret("patient-benchmark")))


def _recorded(harness: Harness) -> str:
    """Return the writes of one redeem as JSON, with marks where each code's own values go."""
    calls: list[tuple[str, Any]] = []

    def record(params: Any, model: Any, **_: Any) -> None:
        calls.append((model.name, copy.deepcopy(params)))

    issued = harness.issue()
    aws.dynamodb().meta.events.register("provide-client-params.dynamodb", record)
    harness.redeem(issued)
    aws.forget_clients()
    if [name for name, _ in calls] != ["UpdateItem", "TransactWriteItems"]:
        raise WorkNotDone(f"a redeem makes {[name for name, _ in calls]}")
    token, event = (entry["Put"]["Item"] for entry in calls[1][1]["TransactItems"] if "Put" in entry)
    text = json.dumps(calls).replace(issued["otpId"], "@otpId@")
    return text.replace(token["tokenHash"]["S"], "@token@").replace(event["sequence"]["S"], "@event@")


def _same_for(writes: str, otp_id: str) -> list[tuple[str, Any]]:
    text = writes.replace("@otpId@", otp_id).replace("@token@", secrets.token_hex(32))
    calls: list[tuple[str, Any]] = json.loads(text.replace("@event@", secrets.token_hex(16)))
    return calls


def _send(calls: list[tuple[str, Any]]) -> None:
    for name, parameters in calls:
        getattr(aws.dynamodb(), xform_name(name))(**parameters)


def _tokens(harness: Harness) -> list[Any]:
    pages = aws.dynamodb().get_paginator("scan").paginate(TableName=harness.tables.access_tokens)
    return [item for page in pages for item in page["Items"]]


def _check(harness: Harness, otp_ids: list[str], tokens: int) -> None:
    """Look each code up: used once, its attempt given back; and count the tokens."""
    rows = [harness.store.get(otp_id) for otp_id in otp_ids]
    used = sum(row is not None and row.uses == 1 and row.attempts == 0 for row in rows)
    if used != len(otp_ids) or tokens != len(otp_ids):
        raise WorkNotDone(f"{used} of {len(otp_ids)} codes were used once, {tokens} tokens were kept")


def _counted(step: Any) -> tuple[int, int]:
    """Return how many write calls a step makes, and how many items they write."""
    calls: Counter[str] = Counter()
    items = 0

    def count(model: Any, params: Any, **_: Any) -> None:
        nonlocal items
        if model.name in WRITES:
            calls[model.name] += 1
            items += len(params.get("TransactItems", [1])) if "TransactItems" in params else 1

    events = aws.dynamodb().meta.events
    events.register("provide-client-params.dynamodb", lambda params, model, **_: count(model, params))
    step()
    aws.forget_clients()
    return sum(calls.values()), items
