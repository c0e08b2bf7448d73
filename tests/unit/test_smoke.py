"""What the smoke check does that the local stack cannot show: it waits for an alarm, and tells signatures apart."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import standardwebhooks

from local.processes import free_ports
from scripts.smoke import checks
from scripts.smoke.deployment import Deployment, Failed
from scripts.smoke.webhooks import Caught

SECRET = "whsec_" + "c2VjcmV0" * 4


class Alarms:
    """CloudFormation and CloudWatch, with an alarm that rings at the third look, or never."""

    def __init__(self, states: list[str]) -> None:
        self.states = states

    def describe_stack_resource(self, **names: str) -> dict[str, Any]:
        assert names["LogicalResourceId"] == "IngestDeadLetterAlarm"
        return {"StackResourceDetail": {"PhysicalResourceId": "stack-alarm"}}

    def describe_alarms(self, AlarmNames: list[str]) -> dict[str, Any]:
        assert AlarmNames == ["stack-alarm"]
        return {"MetricAlarms": [{"StateValue": self.states.pop(0) if len(self.states) > 1 else self.states[0]}]}


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    clock = iter(range(0, 100_000, 60))
    monkeypatch.setattr("scripts.smoke.deployment.time.sleep", lambda seconds: None)
    monkeypatch.setattr("scripts.smoke.deployment.time.monotonic", lambda: next(clock))
    return Deployment("stack", "https://api.example", "dsk_1", alarm=True)


def test_an_alarm_that_rings_is_waited_for_and_one_that_does_not_fails(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deployment, "aws", lambda self, service: Alarms(["OK", "OK", "ALARM"]))
    assert "the alarm rang after" in checks._ring(deployment)
    monkeypatch.setattr(Deployment, "aws", lambda self, service: Alarms(["OK"]))
    with pytest.raises(Failed, match="does not ring after 1200 s"):
        checks._ring(deployment)


def test_a_webhook_of_another_secret_or_content_is_not_signed() -> None:
    body = json.dumps({"data": {"StudyInstanceUID": "1.2.3"}}).encode()
    when = datetime.fromtimestamp(1_700_000_000, tz=UTC)
    signature = standardwebhooks.Webhook(SECRET).sign("msg_1", when, body.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1700000000", "webhook-signature": f"v1,x {signature}"}
    assert Caught(headers, body).is_signed(SECRET)
    assert Caught(headers, body).study == "1.2.3"
    assert not Caught(headers, body + b" ").is_signed(SECRET)
    assert not Caught(headers, body).is_signed("whsec_" + "b3RoZXIh" * 4)


@pytest.mark.parametrize("secret", [SECRET, "whsec_" + "b3RoZXIh" * 4])
def test_webhooks_that_come_are_caught_and_their_signatures_checked(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    (port,) = free_ports(1)
    deployment.webhook_url, deployment.webhook_port, deployment.outputs = f"http://127.0.0.1:{port}/", port, {}

    def exams(_: Deployment) -> tuple[str, list[str]]:
        for study in ("1.2.3", "1.2.4"):
            body, when = json.dumps({"data": {"StudyInstanceUID": study}}), datetime.now(UTC)
            signature = standardwebhooks.Webhook(SECRET).sign("msg_1", when, body)
            named = {"id": "msg_1", "timestamp": str(int(when.timestamp())), "signature": signature}
            headers = {f"webhook-{name}": value for name, value in named.items()}
            assert requests.post(f"http://127.0.0.1:{port}/", data=body, headers=headers, timeout=10).status_code == 204
        return "2 exams", ["1.2.3", "1.2.4"]

    monkeypatch.setattr(checks, "_two_exams", exams)
    monkeypatch.setattr(checks, "secret", lambda names, url: secret)
    if secret == SECRET:
        assert checks.events_come_once_and_in_order(deployment) == "2 exams, with signed webhooks"
    else:
        with pytest.raises(Failed, match="webhooks of another secret"):
            checks.events_come_once_and_in_order(deployment)
