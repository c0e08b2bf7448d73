"""What an attacker may learn from answers, and whoever reads tables, logs and events."""

import json
import secrets
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from dicom_service.errors import Unauthorized
from dicom_service.log import hashed
from dicom_service.otp.requests import RedeemRequest
from tests.support.deployed import log_messages
from tests.support.otp import PORTAL, Harness, wrong
from tests.support.otp_stack import StoredExam, issue, redeem, scaled
from tests.support.stack import Stack
from tests.support.waiting import wait_for


def answer_of(stack: Stack, body: dict[str, Any]) -> tuple[int, dict[str, Any], list[str]]:
    """Give status, body and header names, without what differs from one request to the next anyhow."""
    response = stack.request("POST", "/otps/redeem", key=None, json=body)
    problem = response.json()
    assert problem.pop("requestId")
    return response.status_code, problem, sorted(response.headers)


def test_rejections_cannot_be_told_apart(stack: Stack, exam: StoredExam) -> None:
    used, revoked, locked, live = (issue(stack, exam) for _ in range(4))
    redeem(stack, used)
    stack.request("DELETE", f"/otps/{revoked['otpId']}")
    for _ in range(5):
        answer_of(stack, {"otpId": locked["otpId"], "otp": wrong(locked["otp"])})
    expiring = issue(stack, exam, expiresIn=60)
    table, key = stack.outputs["OtpsTable"], {"otpId": {"S": expiring["otpId"]}}
    past = {":past": {"N": str(int(time.time()) - 1)}}
    stack.client("dynamodb").update_item(
        TableName=table, Key=key, UpdateExpression="SET expiresAt = :past", ExpressionAttributeValues=past
    )

    answers = {
        "wrong": answer_of(stack, {"otpId": live["otpId"], "otp": wrong(live["otp"])}),
        "unknown": answer_of(stack, {"token": "7N42SGRQE0K3W9XH.20735128"}),
        "malformed": answer_of(stack, {"token": "x"}),
        "used": answer_of(stack, {"token": used["token"]}),
        "revoked": answer_of(stack, {"token": revoked["token"]}),
        "locked": answer_of(stack, {"token": locked["token"]}),
        "expired": answer_of(stack, {"token": expiring["token"]}),
    }
    assert answers["wrong"][0] == 401
    assert all(answer == answers["wrong"] for answer in answers.values()), answers
    # Control: the comparison does see another answer.
    assert answer_of(stack, {"token": 5}) != answers["wrong"]


def test_codes_and_tokens_are_nowhere(stack: Stack, exam: StoredExam) -> None:
    """GIVEN codes used, missed, dated, revoked WHEN tables, logs and events are searched THEN none is there."""
    nonce = secrets.token_urlsafe(24)
    long, short = issue(stack, exam, expiresIn=90_000), issue(stack, exam)
    dated = issue(stack, exam, requireBirthDate=True)
    body, headers = {"token": long["token"]}, {"Idempotency-Key": nonce}
    granted = stack.request("POST", "/otps/redeem", key=None, json=body, headers=headers).json()
    tokens = [granted["accessToken"], redeem(stack, short)]
    for token in tokens:
        stack.request("GET", f"{exam.path}/series", key=token)
    answer_of(stack, {"token": dated["token"], "birthDate": "1961-04-13"})
    stack.request("DELETE", f"/otps/{long['otpId']}")

    # functions that a queue or a stream invokes write to the server's log; here the one that announced this exam
    wait_for(lambda: hashed(exam.study_uid) in stack.log)
    places = {"tables": tables(stack), "function logs": function_logs(stack), "server log": stack.log}
    codes = [issued["otp"] for issued in (long, short, dated)]
    for name, text in places.items():
        for secret in (*codes, *tokens, nonce):
            assert secret not in text, name
    for name in ("function logs", "server log"):
        for personal in ("CANARY^OTP", exam.patient_id, "19610412"):
            assert personal not in places[name], name
    # Control: the search finds what is there.
    assert long["otpId"] in places["tables"]
    assert long["reference"] in places["function logs"]
    assert long["otpId"] not in places["function logs"], "who reads logs could lock the code"
    assert hashed(exam.study_uid) in places["server log"]
    sizes = ", ".join(f"{name} {len(text) // 1024} KiB" for name, text in places.items())
    print(f"{len(codes)} codes, {len(tokens)} access tokens and a nonce are in none of: {sizes}")


def tables(stack: Stack) -> str:
    database = stack.client("dynamodb")
    outputs = stack.outputs
    names = [outputs[output] for output in ("OtpsTable", "AccessTokensTable", "ExamEventsTable")]
    pages = (page for name in names for page in database.get_paginator("scan").paginate(TableName=name))
    return "\n".join(json.dumps(page["Items"]) for page in pages)


def function_logs(stack: Stack) -> str:
    groups = (stack.outputs["FunctionLogs"], stack.outputs["AuditLogs"])
    return "\n".join(message for group in groups for message in log_messages(stack, group))


def test_times_of_rejections_overlap(harness: Harness) -> None:
    """Shows the times and asserts none: a machine under load would make that fail for no reason of ours."""
    rounds = scaled(20, 400)
    used, revoked, locked = harness.issue(), harness.issue(), harness.issue()
    harness.redeem(used)
    harness.manager.revoke(revoked["otpId"], PORTAL)
    for _ in range(5):
        rejected(harness, locked | {"otp": wrong(locked["otp"])})
    expired = harness.issue(expires_in=60)
    harness.clock.now += 61
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        "wrong": lambda: (lambda issued: issued | {"otp": wrong(issued["otp"])})(harness.issue()),
        "unknown": lambda: {"otpId": "7N42SGRQE0K3W9XH", "otp": "20735128"},
        "used": lambda: used,
        "revoked": lambda: revoked,
        "locked": lambda: locked,
        "expired": lambda: expired,
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            times[name].append(rejected(harness, case()))
    print(f"ms to reject, {rounds} rounds interleaved: 25 % / median / 75 %")
    for name, seconds in times.items():
        low, median, high = (1000 * value for value in statistics.quantiles(seconds, n=4))
        print(f"  {name:8} {low:6.2f} / {median:6.2f} / {high:6.2f}")


def rejected(harness: Harness, issued: dict[str, Any]) -> float:
    """Give the seconds it takes to be rejected."""
    redeemer = harness.redeemer
    begun = time.perf_counter()
    with pytest.raises(Unauthorized):
        redeemer.redeem(RedeemRequest(issued["otpId"], issued["otp"]))
    return time.perf_counter() - begun
