"""A URL that does not answer is held for all workers, and tried by one of them when that is over."""

import io
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.notifications.endpoints import Endpoint, Endpoints
from dicom_service.notifications.errors import DeliveryFailed
from tests.support.notifications import EVENTS

pytestmark = pytest.mark.usefixtures("cloud")

URL = "https://receiver.example/hook"
NOW = 1_700_000_000


def endpoints(now: int = NOW, patience: float = 60) -> Endpoints:
    return Endpoints(EVENTS, clock=lambda: now, patience=patience)


def time_out(worker: Endpoints) -> None:
    with pytest.raises(DeliveryFailed), worker.watch(worker.read(URL)):
        raise DeliveryFailed("TIMEOUT")


def is_free(worker: Endpoints) -> bool:
    return worker.is_free(worker.read(URL))


def test_a_url_is_held_while_a_delivery_takes_long_and_released_when_it_answers() -> None:
    # GIVEN a delivery that takes longer than the patience of its worker
    slow, other = endpoints(patience=0.01), endpoints()
    with slow.watch(slow.read(URL)):
        deadline = time.monotonic() + 10
        while is_free(other):
            assert time.monotonic() < deadline, "the URL was never held"
        # THEN another worker sends nothing meanwhile, even if this one is killed, until it would have timed out
        assert not is_free(endpoints(NOW + 14))
    # AND everything again as soon as it has answered
    assert is_free(other)
    assert other.read(URL) == Endpoint(URL, is_off=False, held_until=0)


def test_a_url_that_answers_in_time_costs_no_write(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = endpoints()
    seen = worker.read(URL)
    writes: list[Any] = []
    monkeypatch.setattr(aws.dynamodb(), "update_item", lambda **request: writes.append(request))
    with worker.watch(seen):
        pass
    with pytest.raises(DeliveryFailed), worker.watch(seen):
        raise DeliveryFailed("UNREACHABLE")
    assert writes == []
    with pytest.raises(DeliveryFailed), worker.watch(seen):
        raise DeliveryFailed("TIMEOUT")
    assert len(writes) == 1


def test_after_a_timeout_the_url_is_held_for_a_minute() -> None:
    time_out(endpoints())
    assert not is_free(endpoints(NOW + 59))
    assert is_free(endpoints(NOW + 60))


def test_one_worker_tries_a_url_whose_hold_is_over() -> None:
    # GIVEN two workers that read the state of the URL at the same moment, just after its hold
    time_out(endpoints())
    first, second = endpoints(NOW + 61), endpoints(NOW + 61)
    seen = first.read(URL)
    # THEN one of them may try it, until it knows
    assert first.is_free(seen)
    assert not second.is_free(seen)
    assert not is_free(endpoints(NOW + 62))
    with first.watch(seen):
        pass
    assert is_free(second)


def test_a_url_that_rejects_connections_is_not_held() -> None:
    worker = endpoints()
    time_out(worker)
    later = endpoints(NOW + 61)
    with pytest.raises(DeliveryFailed), later.watch(later.read(URL)):
        raise DeliveryFailed("UNREACHABLE")
    assert is_free(later)


def test_a_url_that_is_switched_off_stays_off_whatever_holds_it() -> None:
    worker = endpoints()
    worker.switch_off(URL)
    time_out(worker)
    assert worker.read(URL) == Endpoint(URL, is_off=True, held_until=NOW + 60)


def test_a_hold_that_cannot_be_written_fails_no_delivery(monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    def fail(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "UpdateItem")

    monkeypatch.setattr(aws.dynamodb(), "update_item", fail)
    time_out(endpoints())
    assert "hold not written" in log.getvalue()
    assert URL not in log.getvalue()
    assert is_free(endpoints())
