"""What the smoke check does that the local stack cannot show: it waits for an alarm, and tells signatures apart."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import standardwebhooks

import dicom_service
from local.processes import free_ports
from scripts.smoke import checks
from scripts.smoke.deployment import Deployment, Failed
from scripts.smoke.webhooks import Caught

DOCS = Path(__file__).parents[2] / "docs"
CONTRACT = json.loads((Path(dicom_service.__file__).parent / "openapi.json").read_text())
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


def aws_says(size: int) -> tuple[int, str, str]:
    """Return what API Gateway and Lambda answer to a body: status, content type, body (from reports of users)."""
    if size > 10_485_760:
        return 413, "text/plain", f"HTTP content length exceeded 10485760 bytes: {size}"
    # A body travels in base64, and an invocation takes 6 MB.
    if size * 4 // 3 > 6_291_456:
        return 413, "application/json", '{"message":"Request Too Long"}'
    if size > 4_500_000:
        return 413, "application/problem+json", '{"code":"USE_UPLOADS"}'
    return 422, "application/problem+json", '{"code":"NOT_DICOM"}'


@pytest.mark.parametrize(("above_6_mb", "fails"), [(413, False), (500, True)])
def test_too_long_a_body_is_a_bare_413_of_the_gateway_and_nothing_else(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, above_6_mb: int, fails: bool
) -> None:
    bare = []

    def call(self: Deployment, method: str, path: str, *, data: bytes, **_: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code, kind, body = aws_says(len(data))
        if "problem" not in kind:
            answer.status_code = above_6_mb
            bare.append(len(data))
        answer.headers["Content-Type"], answer._content = kind, body.encode()
        return answer

    monkeypatch.setattr(Deployment, "call", call)
    if fails:
        with pytest.raises(Failed, match="statuses by MB"):
            checks.long_bodies(deployment)
    else:
        assert checks.long_bodies(deployment) == "4 MB 422, 5 MB 413, 7 MB 413, 11 MB 413"
    assert bare == [5_000_000, 7_000_000, 11_000_000]


def test_callers_are_told_that_a_413_may_come_without_a_code() -> None:
    """The gateway's response REQUEST_TOO_LARGE, which the template fills, does not reach all of them."""
    assert [aws_says(size)[1] for size in (4_600_000, 4_800_000)] == ["application/problem+json", "application/json"]
    (row,) = [line for line in (DOCS / "errors.md").read_text().splitlines() if line.startswith("| `USE_UPLOADS`")]
    assert "4.7 MB" in row
    assert "bare 413" in row
    told = CONTRACT["paths"]["/exams"]["post"]["responses"]["413"]["description"]
    assert "by the status" in told


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
