"""Files that take the PACS longer than a request may: handed over, fetched once, given by link."""

import importlib
import json
import os
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from dicom_service.exams import instance_cache
from tests.support.exam_pacs import CT_BYTES, INSTANCE, INSTANCE_ROW, METADATA_ROUTE, SERIES, multipart, pacs, picture
from tests.support.lambdas import Answer, Invoke, clear_dependencies, sample_event
from tests.support.pacs import FakePacs, Handler, Received, answer, dicom_json, stall

FILE = picture(fileType="application/dicom")
LARGE = CT_BYTES + bytes(range(256)) * 80_000
PATH = f"/instances/{INSTANCE}"
FOUND = (f"/series/{SERIES}/instances", dicom_json([INSTANCE_ROW]))
WHOLE = (PATH, multipart(LARGE))

Fetch = Callable[..., dict[str, Any]]


def parts_then(ending: Callable[[Handler], None]) -> Any:
    """The first 12 MB of a larger answer, and then something else than the rest."""

    def give(handler: Handler, _received: Received) -> None:
        content_type = 'multipart/related; type="application/dicom"; boundary=b'
        handler.head(200, Content_Length="100000000", Content_Type=content_type)
        handler.wfile.write(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + CT_BYTES + bytes(12_000_000))
        ending(handler)

    return give


def drip_on(handler: Handler) -> None:
    while not handler.server.stopping.wait(0.05):
        handler.wfile.write(b"\0")
        handler.wfile.flush()


def fall_silent(handler: Handler) -> None:
    handler.server.stopping.wait(10)


def kept() -> dict[str, bytes]:
    """What the cache bucket holds, by the last part of each key."""
    s3 = boto3.client("s3")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="cache")
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket="cache").get("Contents", [])]
    return {key.rpartition("/")[2]: s3.get_object(Bucket="cache", Key=key)["Body"].read() for key in keys}


def messages(variable: str = "FETCH_QUEUE_URL") -> list[dict[str, Any]]:
    """The messages in a queue, which stay there."""
    given = boto3.client("sqs").receive_message(
        QueueUrl=os.environ[variable], MaxNumberOfMessages=10, VisibilityTimeout=0
    )
    return [json.loads(message["Body"]) for message in given.get("Messages", [])]


def ask(invoke: Invoke, server: FakePacs) -> Answer:
    return invoke("get_instance", server.url, **FILE)


def asked(server: FakePacs) -> list[str]:
    """What the PACS was asked for: a search, or the file."""
    return ["file" if received.path.endswith(PATH) else "search" for received in server.received]


@pytest.fixture(autouse=True)
def time_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACS_READ_TIMEOUT", "1")
    monkeypatch.setenv("PACS_TOTAL_TIMEOUT", "5")


@pytest.fixture
def hand_over(invoke: Invoke) -> Callable[[], dict[str, Any]]:
    """Ask for a file that does not come in time; gives the message that this leaves in the queue."""

    def call() -> dict[str, Any]:
        with pacs((PATH, stall), FOUND) as server:
            assert ask(invoke, server).json["code"] == "BEING_FETCHED"
        (message,) = messages()
        return message

    return call


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Run `fetch_instance` on a message, with more time than a request has."""
    receipts: list[str] = []

    def call(server: FakePacs, message: dict[str, Any], attempt: int = 1) -> dict[str, Any]:
        monkeypatch.setenv("PACS_URL", server.url)
        event = sample_event("fetch_instance")
        event["Records"][0]["body"] = json.dumps(message)
        event["Records"][0]["attributes"]["ApproximateReceiveCount"] = str(attempt)
        if not receipts:
            given = boto3.client("sqs").receive_message(QueueUrl=os.environ["FETCH_QUEUE_URL"], VisibilityTimeout=0)
            receipts.append(given["Messages"][0]["ReceiptHandle"])
        event["Records"][0]["receiptHandle"] = receipts[0]
        clear_dependencies()
        handler = importlib.import_module("functions.fetch_instance.app").lambda_handler
        with monkeypatch.context() as longer:
            longer.setenv("PACS_READ_TIMEOUT", "10")
            longer.setenv("PACS_TOTAL_TIMEOUT", "30")
            answered: dict[str, Any] = handler(event, None)
        return answered

    return call


@pytest.mark.parametrize(
    "slow", [stall, parts_then(drip_on), parts_then(fall_silent)], ids=["no-byte", "drip", "stall"]
)
def test_a_file_that_is_too_slow_is_handed_over_and_comes_the_next_time(
    slow: Any, invoke: Invoke, fetch: Fetch
) -> None:
    # GIVEN a PACS that does not finish in the time of a request
    with pacs((PATH, slow), FOUND) as server:
        given = ask(invoke, server)
    # THEN the caller is told to come back, and nothing half is kept
    assert (given.status, given.json["code"], given.headers["Retry-After"]) == (503, "BEING_FETCHED", "10")
    assert list(kept()) == ["fetching"]
    (message,) = messages()
    # WHEN it is fetched with more time
    with pacs(WHOLE) as server:
        assert fetch(server, message) == {"batchItemFailures": []}
    assert kept() == {f"{INSTANCE}.dcm": LARGE}
    # THEN the next call gets the link, for the price of a search
    with pacs(WHOLE, FOUND) as server:
        given = ask(invoke, server)
        assert (given.status, asked(server)) == (303, ["search"])
    assert f"{INSTANCE}.dcm" in given.headers["Location"]


def test_a_pacs_that_answers_nothing_is_a_timeout_not_a_promise(invoke: Invoke) -> None:
    with FakePacs(stall) as server:
        given = ask(invoke, server)
    assert (given.status, given.json["code"]) == (504, "PACS_TIMEOUT")
    assert (kept(), messages()) == ({}, [])


def test_while_it_is_fetched_callers_wait_and_the_pacs_is_left_alone(
    invoke: Invoke, hand_over: Callable[[], dict[str, Any]]
) -> None:
    message = hand_over()
    with pacs(WHOLE, FOUND) as server:
        for _ in range(3):
            assert ask(invoke, server).json["code"] == "BEING_FETCHED"
        assert asked(server) == []
    assert messages() == [message]


def test_callers_that_meet_start_one_fetch(
    invoke: Invoke, hand_over: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others looked before the first one's mark was there."""
    message = hand_over()
    monkeypatch.setattr(instance_cache.InstanceCache, "find", lambda cache, name: instance_cache.CacheEntry())
    with pacs((PATH, stall), FOUND) as server:
        assert ask(invoke, server).json["code"] == "BEING_FETCHED"
    assert messages() == [message]


def test_a_fetch_that_died_holds_nobody_up(
    invoke: Invoke, hand_over: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hand_over()
    monkeypatch.setattr(instance_cache, "LEASE_TIMEOUT", 0.0)
    with pacs((PATH, stall), FOUND) as server:
        assert ask(invoke, server).json["code"] == "BEING_FETCHED"
        assert asked(server) == ["file", "search"]
    second = next(message for message in messages() if message != first)
    assert kept()["fetching"].decode() == f"queued {second['token']}"


def test_a_pacs_that_breaks_off_leaves_nothing_half_and_is_asked_again(
    invoke: Invoke, fetch: Fetch, hand_over: Callable[[], dict[str, Any]]
) -> None:
    message = hand_over()
    again = {"batchItemFailures": [{"itemIdentifier": sample_event("fetch_instance")["Records"][0]["messageId"]}]}
    with pacs((PATH, parts_then(lambda handler: handler.hang_up()))) as server:
        assert fetch(server, message) == again
    assert kept() == {"fetching": f"running {message['token']}".encode()}
    with pacs(WHOLE, FOUND) as server:
        assert ask(invoke, server).json["code"] == "BEING_FETCHED"
        assert fetch(server, message, attempt=2) == {"batchItemFailures": []}
    assert kept() == {f"{INSTANCE}.dcm": LARGE}


def test_after_the_last_attempt_the_next_caller_hears_what_is_wrong(
    invoke: Invoke, fetch: Fetch, hand_over: Callable[[], dict[str, Any]]
) -> None:
    message = hand_over()
    with pacs((PATH, answer(500)), FOUND) as server:
        assert fetch(server, message, attempt=6) == {"batchItemFailures": []}
        assert ask(invoke, server).json["code"] == "PACS_ERROR"
    assert (kept(), messages("DEAD_FETCH_QUEUE_URL")) == ({}, [message])


def test_an_instance_that_is_gone_by_then_is_let_go(
    invoke: Invoke, fetch: Fetch, hand_over: Callable[[], dict[str, Any]]
) -> None:
    message = hand_over()
    with pacs() as server:
        assert fetch(server, message) == {"batchItemFailures": []}
        assert ask(invoke, server).status == 404
    assert (kept(), messages("DEAD_FETCH_QUEUE_URL")) == ({}, [])


def test_a_message_that_comes_twice_fetches_once(fetch: Fetch, hand_over: Callable[[], dict[str, Any]]) -> None:
    message = hand_over()
    with pacs(WHOLE) as server:
        for _ in range(2):
            assert fetch(server, message) == {"batchItemFailures": []}
        assert asked(server) == ["file"]
    assert kept() == {f"{INSTANCE}.dcm": LARGE}


def test_what_another_message_is_being_worked_on_for_is_left_to_it(
    fetch: Fetch, hand_over: Callable[[], dict[str, Any]]
) -> None:
    message = hand_over()
    with pacs((PATH, answer(503))) as server:
        fetch(server, message)
    with pacs(WHOLE) as server:
        assert fetch(server, {**message, "token": "another"}) == {"batchItemFailures": []}
        assert asked(server) == []


def test_a_cached_file_that_the_pacs_no_longer_has_is_404(invoke: Invoke) -> None:
    with pacs(WHOLE) as server:
        assert ask(invoke, server).status == 303
    for nothing in (answer(204), answer(404)):
        with FakePacs(nothing) as server:
            assert ask(invoke, server).json["code"] == "NOT_FOUND"
    assert list(kept()) == [f"{INSTANCE}.dcm"]


def test_a_queue_that_refuses_leaves_no_mark(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FETCH_QUEUE_URL", os.environ["FETCH_QUEUE_URL"] + "-gone")
    with pacs((PATH, stall), FOUND) as server:
        given = ask(invoke, server)
    assert (given.status, given.json["code"]) == (503, "UNAVAILABLE")
    assert kept() == {}


def test_a_cache_out_of_order_costs_no_small_file(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_BUCKET", "gone")
    with pacs((PATH, multipart(CT_BYTES))) as server:
        assert ask(invoke, server).body == CT_BYTES


def slowly(reply: Any, seconds: float) -> Any:
    def give(handler: Handler, received: Received) -> None:
        handler.server.stopping.wait(seconds)
        reply(handler, received)

    return give


@pytest.mark.parametrize("function", ["get_instance", "get_thumbnail"])
def test_a_picture_has_the_time_of_one_call_for_all_its_steps(
    function: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN steps each of which stays within the time for a call, which together do not
    monkeypatch.setenv("PACS_READ_TIMEOUT", "2")
    monkeypatch.setenv("PACS_TOTAL_TIMEOUT", "2")
    end, metadata = METADATA_ROUTE
    with pacs(
        (end, slowly(metadata, 1.2)),
        (f"{PATH}/thumbnail", slowly(answer(404), 1.2)),
        (f"/series/{SERIES}/instances", dicom_json([INSTANCE_ROW])),
        (PATH, slowly(multipart(CT_BYTES), 1.2)),
        ("/series", dicom_json([{"0020000E": {"vr": "UI", "Value": [SERIES]}}])),
    ) as server:
        # WHEN a picture is asked for THEN it ends with the time, in the second of them
        given = invoke(function, server.url)
        last = [received.path.rpartition("/")[2] for received in server.received][-2:]
    assert (given.status, given.json["code"]) == (504, "PACS_TIMEOUT")
    assert last == ["metadata", "thumbnail"]
