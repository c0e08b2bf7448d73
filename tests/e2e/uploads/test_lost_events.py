"""Staged objects whose events are swallowed: the rule that delivers them is off, as in a bucket's first minutes."""

import json
import time
from collections.abc import Iterator

import pytest
import requests

from tests.support.deployed import variables
from tests.support.stack import Stack
from tests.support.staged import ended
from tests.support.upload_files import ROOT, dicom
from tests.support.uploads import filed
from tests.support.waiting import wait_for


@pytest.fixture
def swallowed(stack: Stack) -> Iterator[None]:
    """Let no event of the bucket be delivered."""
    events = stack.client("events")
    [name] = [rule["Name"] for rule in events.list_rules()["Rules"] if "StagedObjectRule" in rule["Name"]]
    events.disable_rule(Name=name)
    try:
        yield
    finally:
        events.enable_rule(Name=name)


@pytest.mark.usefixtures("swallowed")
def test_what_was_staged_while_no_event_came_is_stored_by_the_sweeper(stack: Stack) -> None:
    # GIVEN a file by its form and a dropped one, whose events go nowhere
    study, key = f"{ROOT}.{time.time_ns()}", f"drop/swallowed/{time.time_ns()}"
    content = dicom(1, study=study)
    opened = stack.request("POST", "/uploads", json={"files": [{"name": "a", "size": len(content)}]}).json()
    form = opened["files"][0]
    assert requests.post(form["url"], data=form["fields"], files={"file": content}, timeout=60).status_code == 204
    stack.client("s3").put_object(Bucket=stack.staging_bucket, Key=key, Body=dicom(2, study=study))

    # WHEN the sweeper runs before anything is late, nothing happens
    sweep(stack, late=900)
    assert stack.request("GET", f"/uploads/{opened['uploadId']}").json()["counts"].get("stored") is None

    # AND when it runs once they are late
    assert sweep(stack, late=0) >= 2

    # THEN both are stored, each with what its caller looks for
    assert ended(stack, opened["uploadId"])["counts"] == {"stored": 1}
    report = f"reports/{filed(key)}.json"
    wait_for(lambda: stack.client("s3").list_objects_v2(Bucket=stack.staging_bucket, Prefix=report)["KeyCount"])
    body = stack.client("s3").get_object(Bucket=stack.staging_bucket, Key=report)["Body"].read()
    assert json.loads(body)["state"] == "stored"
    found = stack.pacs_request("GET", "/instances", params={"StudyInstanceUID": study})
    assert len(found.json()) == 2


def sweep(stack: Stack, late: int) -> int:
    """Run the function as its schedule does, and return how many objects it queued."""
    functions = stack.client("lambda")
    with variables(stack, "SweepStagingFunction", STAGED_LATE_SECONDS=str(late)) as name:
        answer = functions.invoke(FunctionName=name, Payload=b"{}")
        return int(json.loads(answer["Payload"].read())["objects"])
