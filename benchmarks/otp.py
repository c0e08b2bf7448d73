"""One-time passwords: what redeeming costs beside one bare conditional write, and how often each step writes.

The parts run in this process, as a function would run them, on the DynamoDB of a MiniStack of their own.
"""

import io
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.servers import running
from benchmarks.table import Row, pairs
from dicom_service import aws
from dicom_service.otp.store import OtpTables
from tests.support.otp import World, keyring, master_secret
from tests.support.template import create_table

ROUNDS = 200
TABLES = ("OtpsTable", "AccessTokensTable", "ExamEventsTable")
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems")


def measure() -> Iterator[Row]:
    """Give redeem beside a bare conditional write, and the writes of issue and redeem."""
    with running():
        yield from _rows(_world())


def _rows(world: World) -> Iterator[Row]:
    issued = iter([world.issue() for _ in range(ROUNDS + 20)])
    bare = iter([world.issue()["otpId"] for _ in range(ROUNDS + 20)])
    timed = pairs(lambda: world.redeem(next(issued)), lambda: _bare_write(world, next(bare)), rounds=ROUNDS, warm_up=10)
    yield timed.row("OTP: redeem, p50", "one bare conditional write", aim=2.5)
    again = world.issue(max_uses=2)
    world.redeem(again)
    for name, step, aim in (("issue", world.issue, 1), ("redeem", lambda: world.redeem(again), 2)):
        calls, items = _counted(step)
        yield Row(f"OTP: write calls of one {name}", "aim", calls, "calls", aim=aim)
        yield Row(f"OTP: items written by one {name}", "", items, "items")


def _world() -> World:
    """Make the tables, and a master secret."""
    _write_the_audit_trail_nowhere()
    tables = OtpTables(*(create_table(aws.dynamodb(), name) for name in TABLES))
    return World(tables, keyring(master_secret("otp-benchmark")))


def _write_the_audit_trail_nowhere() -> None:
    # Its lines are still made, since deployed functions make them too.
    for handler in logging.getLogger("dicom-service-audit").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(io.StringIO())


def _bare_write(world: World, otp_id: str) -> None:
    """Do the least that single use can cost: one conditional write, nothing compared, no token, no event."""
    aws.dynamodb().update_item(
        TableName=world.tables.otps,
        Key=aws.to_item({"otpId": otp_id}),
        UpdateExpression="SET #uses = #uses + :one",
        ConditionExpression="#uses < maxUses",
        ExpressionAttributeNames={"#uses": "uses"},
        ExpressionAttributeValues=aws.to_item({":one": 1}),
    )


def _counted(step: Any) -> tuple[int, int]:
    """Give how many write calls a step makes, and how many items they write."""
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
