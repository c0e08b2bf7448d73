"""What operators rely on: audit lines are kept apart, logs have an end, and pages get in if their origin is named."""

import json
from typing import Any

from tests.support.deployed import log_messages
from tests.support.stack import Stack
from tests.support.waiting import wait_for


def lines(stack: Stack, output: str, text: str) -> list[dict[str, Any]]:
    messages = log_messages(stack, stack.outputs[output])
    return [json.loads(message) for message in messages if message.startswith("{") and text in message]


def test_an_audit_line_is_copied_to_the_log_group_that_is_kept_for_longer(stack: Stack) -> None:
    answer = stack.request("POST", "/otps/redeem", key=None, json={"otpId": "0" * 16, "otp": "00000000"})
    assert answer.status_code == 401
    copied = wait_for(lambda: lines(stack, "AuditLogs", "one-time password rejected"))
    assert copied[-1]["level"] == "FATAL"
    assert copied[-1]["audit"]["EventTypeCode"]["csd-code"] == "110122"
    # AND it is in the log of the functions, with a metric beside it
    assert lines(stack, "FunctionLogs", "one-time password rejected")
    (metric, *_) = lines(stack, "FunctionLogs", "CodesRejected")
    assert metric["service"] == "dicom-service"
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "DicomService"


def test_each_log_group_has_an_end(stack: Stack) -> None:
    groups = {group["logGroupName"]: group for group in stack.client("logs").describe_log_groups()["logGroups"]}
    for output in ("FunctionLogs", "AuditLogs"):
        assert groups[stack.outputs[output]]["retentionInDays"] >= 30


def test_the_staging_bucket_takes_parts_of_pages(stack: Stack) -> None:
    (rule,) = stack.client("s3").get_bucket_cors(Bucket=stack.staging_bucket)["CORSRules"]
    assert {"PUT", "POST"} <= set(rule["AllowedMethods"])
    assert rule["ExposeHeaders"] == ["ETag"]


def test_a_page_whose_origin_is_named_may_call_the_api_and_another_may_not(stack: Stack) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for origin, allowed in (("https://portal.example.org", True), ("https://elsewhere.example", False)):
        before = stack.request("OPTIONS", "/exams/studies", key=None, headers={"Origin": origin, **asked})
        answer = stack.request("GET", "/uid", headers={"Origin": origin})
        assert (before.status_code == 204) is allowed
        assert answer.status_code == 200
        for response in (before, answer):
            assert (response.headers.get("Access-Control-Allow-Origin") == origin) is allowed
    # AND it can tell an expired credential, which the gateway refuses, from a service that is down
    refused = stack.request("GET", "/uid", key="expired", headers={"Origin": "https://portal.example.org"})
    assert (refused.status_code, refused.headers["Access-Control-Allow-Origin"]) == (401, "*")
