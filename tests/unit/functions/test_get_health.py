"""GET /health, which is open to all, loads the PACS no more for many callers than for one."""

import sys
from typing import Any

import pytest

from dicom_service import health
from dicom_service.health import Health
from tests.support.lambdas import Answer, Invoke, sample_event
from tests.support.pacs import FakePacs, dicom_json


def ask_again(count: int) -> list[Answer]:
    """Call the function that is loaded already, as a warm instance is called."""
    handler = sys.modules["functions.get_health.app"].lambda_handler
    return [Answer(handler(sample_event("get_health"), None)) for _ in range(count)]


def test_many_callers_are_one_request_to_the_pacs(invoke: Invoke) -> None:
    with FakePacs(dicom_json([])) as pacs:
        answers = [invoke("get_health", pacs.url), *ask_again(20)]

    assert [answer.status for answer in answers] == [200] * 21
    assert len(pacs.received) == 1


def test_control_without_the_cache_each_caller_is_a_request(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CACHED_FOR", 0)
    with FakePacs(dicom_json([])) as pacs:
        answers = [invoke("get_health", pacs.url), *ask_again(20)]

    assert [answer.status for answer in answers] == [200] * 21
    assert len(pacs.received) == 21


def test_a_pacs_that_is_down_is_asked_as_rarely(invoke: Invoke) -> None:
    answers = [invoke("get_health"), *ask_again(3)]

    assert [answer.status for answer in answers] == [503] * 4
    assert [answer.json["checks"]["pacs"] for answer in answers] == [{"status": "down", "code": "PACS_UNREACHABLE"}] * 4


def test_after_some_seconds_it_is_asked_anew() -> None:
    # GIVEN a check that takes a while
    now, reports = [100.0], iter([{"status": "down"}, {"status": "up"}])

    def check() -> dict[str, Any]:
        now[0] += 5
        return next(reports)

    kept = Health(check, clock=lambda: now[0])
    # WHEN it is asked for within the time and after it THEN it is the same, then a new one
    assert kept.report() == {"status": "down"}
    now[0] += health.CACHED_FOR - 0.1
    assert kept.report() == {"status": "down"}
    now[0] += 0.1
    assert kept.report() == {"status": "up"}
