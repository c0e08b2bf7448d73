"""The ingest queue reports that files wait for long, as an alarm of the template watches it."""

import json
from typing import Any

import pytest

from dicom_service.aws.sqs_worker import Message
from dicom_service.ingest.ingest_queue import IngestQueue
from tests.support.template import RESOURCES


def reported(
    capsys: pytest.CaptureFixture[str], attempts: int, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    """Delay a message received so many times, and return the metrics that were emitted."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "dicom-service")
    IngestQueue("http://127.0.0.1:1/none").delay({Message("m", "r", attempts, "{}"): None})
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if "IngestStalled" in line]


def test_a_file_that_waits_for_long_rings_the_alarm(
    moto: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not reported(capsys, 8, monkeypatch)
    (metric,) = reported(capsys, 9, monkeypatch)

    alarm = RESOURCES["IngestStalledAlarm"]["Properties"]
    watched = metric["_aws"]["CloudWatchMetrics"][0]
    assert (watched["Namespace"], watched["Metrics"][0]["Name"]) == (alarm["Namespace"], alarm["MetricName"])
    assert [metric[dimension["Name"]] for dimension in alarm["Dimensions"]] == ["dicom-service"]
    assert watched["Dimensions"] == [[dimension["Name"] for dimension in alarm["Dimensions"]]]
