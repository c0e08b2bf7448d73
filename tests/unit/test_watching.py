"""Alarms, dashboard and runbook belong together, and every metric that is watched is written somewhere."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dicom_service import metrics
from tests.support.transformed import resources, transformed

ROOT = Path(__file__).parents[2]
ALARMS = resources("AWS::CloudWatch::Alarm")


def written() -> set[str]:
    """Return the metrics that the code writes."""
    sources = [*(ROOT / "layers/service/dicom_service").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
    return {
        name
        for source in sources
        for call in re.findall(r"metrics\.(?:count|seconds|failures)\((.+)", source.read_text())
        for name in re.findall(r'"([A-Z]\w+)"', call)
    }


def test_every_alarm_has_a_heading_in_the_runbook_and_every_heading_an_alarm() -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    assert len(ALARMS) > 20
    assert sorted(re.findall(r"^### (\w+)$", text, re.M)) == sorted(ALARMS)
    for heading, body in re.findall(r"^### (\w+)\n(.*?)(?=\n##|\Z)", text, re.M | re.S):
        assert [f"**{word}**" in body for word in ("Means", "Look", "Repair")] == [True] * 3, heading


def test_every_alarm_is_told_to_whom_the_settings_name() -> None:
    for name, alarm in ALARMS.items():
        assert {str(action["Fn::If"][0]) for action in alarm["AlarmActions"]} == {"HasAlarmTopic", "HasAlarmEmail"}, (
            name
        )
        assert alarm["OKActions"] == alarm["AlarmActions"], name
        assert alarm["TreatMissingData"] == "notBreaching", name


def test_every_metric_of_the_service_that_is_watched_or_shown_is_written() -> None:
    watched = {alarm["MetricName"] for alarm in ALARMS.values() if alarm.get("Namespace") == metrics.NAMESPACE}
    shown = {entry[1] for entry in dashboard_metrics() if entry[0] == metrics.NAMESPACE}
    assert len(watched) >= 7
    assert watched | shown <= written()
    # What is written is at least shown.
    assert written() <= shown | watched


def test_alarms_of_one_stack_do_not_ring_for_another() -> None:
    for name, alarm in ALARMS.items():
        if alarm.get("Namespace") == metrics.NAMESPACE:
            assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}], name
    variables = transformed()["Resources"]["GetUidFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["POWERTOOLS_SERVICE_NAME"] == {"Ref": "AWS::StackName"}


def test_no_log_is_kept_for_ever_and_each_function_writes_into_one_of_these() -> None:
    """Lambda makes a group that never expires for a function that names none."""
    groups = resources("AWS::Logs::LogGroup")
    assert len(groups) >= 3
    kept = {name: group["RetentionInDays"]["Ref"] for name, group in groups.items()}
    assert {name for name, parameter in kept.items() if parameter != "LogRetentionDays"} == {"AuditLogs"}
    assert kept["AuditLogs"] == "AuditRetentionDays"
    functions = resources("AWS::Lambda::Function")
    assert len(functions) > 30
    assert {function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions.values()} <= groups.keys()


def dashboard_metrics() -> list[list[Any]]:
    (dashboard,) = resources("AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"]["Fn::Sub"])
    return [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"]]


def test_every_queue_is_on_the_dashboard_but_those_of_an_option() -> None:
    shown = {
        entry[3].removeprefix("${").removesuffix(".QueueName}")
        for entry in dashboard_metrics()
        if entry[0] == "AWS/SQS"
    }
    assert shown == set(resources("AWS::SQS::Queue")) - {"UnwrittenWorklistFilesQueue", "UnannouncedAccessesQueue"}


@pytest.mark.parametrize(("write", "unit"), [(metrics.count, "Count"), (metrics.seconds, "Seconds")])
def test_a_metric_is_a_line_that_cloudwatch_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], write: Any, unit: str
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "stack-1")
    write("Things", 3)
    line = json.loads(capsys.readouterr().out)
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"]) == ("DicomService", [["service"]])
    assert (line["service"], line["Things"]) == ("stack-1", [3.0])
    assert directive["Metrics"] == [{"Name": "Things", "Unit": unit}]


def test_nothing_is_written_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    metrics.count("Things", 0)
    assert capsys.readouterr().out == ""
