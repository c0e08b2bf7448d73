"""The audit of a deployed stack: an exam that was shared, what is recorded of it, its export and the check of that."""

import datetime
import json
import os
import subprocess
import sys
import uuid
from typing import Any

from local.settings import ADMINISTRATOR, REGION, ROOT, STACK_NAME
from tests.support.exams import exam, upload
from tests.support.stack import Stack


def shared(stack: Stack) -> tuple[str, str, str, str]:
    """Store an exam of a new patient and share it; return study, patient, `who` of the recipient, and token."""
    patient = f"CANARY{uuid.uuid4().hex[:8]}"
    study, files = exam(1, 2, patient=patient)
    upload(stack, files)
    issued = stack.request("POST", "/otps", json={"studyUID": study, "patientID": patient})
    assert issued.status_code == 201, issued.text
    redeemed = stack.request("POST", "/otps/redeem", key=None, json={"token": issued.json()["token"]})
    assert redeemed.status_code == 200, redeemed.text
    return study, patient, f"otp:{issued.json()['reference']}", redeemed.json()["accessToken"]


def accesses(stack: Stack, study: str, **query: str) -> list[dict[str, Any]]:
    found = stack.request("GET", f"/exams/studies/{study}/accesses", params=query)
    assert found.status_code == 200, found.text
    rows: list[dict[str, Any]] = found.json()
    return rows


def audited(stack: Stack, **query: str) -> list[dict[str, Any]]:
    found = stack.request("GET", "/audit", key=stack.auditor_key, params=query)
    assert found.status_code == 200, found.text
    rows: list[dict[str, Any]] = found.json()
    return rows


def invoke_export(stack: Stack) -> list[str]:
    functions = stack.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    [name] = [
        one["FunctionName"] for page in pages for one in page["Functions"] if "ExportAudit" in one["FunctionName"]
    ]
    answered = functions.invoke(FunctionName=name, Payload=b"{}")
    assert "FunctionError" not in answered
    days: list[str] = json.loads(answered["Payload"].read())["days"]
    return days


def verify(stack: Stack, *arguments: str) -> tuple[int, str]:
    environment = {**os.environ, **ADMINISTRATOR, "AWS_DEFAULT_REGION": REGION}
    environment["AWS_ENDPOINT_URL"] = stack.values["AWS_ENDPOINT_URL"]
    command = [sys.executable, "-m", "scripts.verify_audit", "--stack", STACK_NAME, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def move_to_a_day_that_has_ended(stack: Stack, rows: list[dict[str, Any]]) -> str:
    """Date records two days back, as an administrator could; return the day.

    Two, because a day counts as ended twenty minutes after midnight.
    """
    database, table = stack.client("dynamodb"), stack.outputs["AuditTable"]
    day = (datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=2)).isoformat()
    for row in rows:
        database.update_item(
            TableName=table,
            Key={"id": {"S": row["id"]}},
            UpdateExpression="SET #at = :at, #day = :day",
            ExpressionAttributeNames={"#at": "at", "#day": "day"},
            ExpressionAttributeValues={":at": {"S": day + row["at"][10:]}, ":day": {"S": day}},
        )
    return day
