"""The checks that a deployer makes, on the local stack: all but those that cannot be made here, which are named."""

import pytest

from local.processes import free_ports
from scripts.smoke.__main__ import report, run
from scripts.smoke.checks import CHECKS
from scripts.smoke.deployment import Deployment, Failed
from tests.support.stack import Stack
from tests.support.webhooks import point_webhooks

# The emulator has no name of its own for the API, no log groups of functions, and no second account.
NOT_HERE = {"custom domain", "logs are structured", "by hand"}


@pytest.fixture
def deployment(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    for name, value in stack.values.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    (port,) = free_ports(1)
    deployment = Deployment("dicom-service", stack.api_url, stack.service_key, is_local=True, patience=120)
    deployment.webhook_url, deployment.webhook_port = f"http://127.0.0.1:{port}/smoke", port
    return deployment


def test_the_fifteen_checks_of_a_deployer(deployment: Deployment, stack: Stack) -> None:
    # What other tests have left is no part of this one.
    stack.client("sqs").purge_queue(QueueUrl=stack.outputs["IngestDeadLetterQueue"])
    point_webhooks(stack, [str(deployment.webhook_url)], "1,1,2,2,4")
    try:
        results = run(deployment)
    finally:
        point_webhooks(stack, [], "")
    print(report(results))
    assert len(results) == 15
    assert {result.name for result in results if result.state == "not here"} == NOT_HERE
    assert [result for result in results if result.state == "FAILED"] == []
    assert any("with signed webhooks" in result.line for result in results)


def test_a_check_that_fails_is_in_the_report_and_stops_no_other(deployment: Deployment) -> None:
    def broken(_: Deployment) -> str:
        raise Failed("it does not hold")

    # A key that nobody has: what needs one fails, what is open passes.
    deployment.key = "dsk_unknown"
    by_name = {check.__name__: check for check in CHECKS}
    results = run(deployment, [broken, by_name["presigned_hosts"], by_name["errors_are_problems"]])
    assert [result.state for result in results] == ["FAILED", "FAILED", "FAILED"]
    assert results[1].line == "POST /uploads: 401 instead of 201"
    assert "dsk_" not in report(results)
    assert "3 FAILED" in report(results)
