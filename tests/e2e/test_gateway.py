"""What the API itself answers, before any function of ours has a say."""

import pytest

from tests.support.stack import Stack


@pytest.mark.parametrize("key", [None, "no-such-key"])
def test_without_a_known_credential_nothing_opens(stack: Stack, key: str | None) -> None:
    answer = stack.request("GET", "/uid", key=key)

    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "UNAUTHENTICATED"
    assert problem["type"] == "urn:dicom-service:error:UNAUTHENTICATED"
    assert problem["status"] == 401
    assert problem["requestId"]


def test_a_route_that_does_not_exist_is_not_found(stack: Stack) -> None:
    answer = stack.request("GET", "/nothing")

    assert answer.status_code == 404
    assert answer.json()["code"] == "NO_SUCH_ROUTE"


def test_health_is_open(stack: Stack) -> None:
    answer = stack.request("GET", "/health", key=None)

    assert answer.status_code == 200


def test_a_function_may_do_what_its_policy_allows(stack: Stack) -> None:
    answer = stack.request("GET", "/uid")

    assert answer.status_code == 200
    assert answer.json()["uid"].startswith("2.25.")
