"""Bad filters and bad bodies on every route that takes them: 400 with a problem body, never a 5xx, never everybody."""

from typing import Any

import pytest

from tests.support.stack import Stack

EXACT = {
    "/exams/studies": ("patientID", "modality", "accessionNumber"),
    "/exams/studies/1.2.3/series": ("patientID",),
    "/exams/studies/1.2.3/series/1.2.4/instances": ("patientID",),
    "/workitems": ("patientID", "accessionNumber", "modality", "scheduledStationAETitle"),
}
BODIES = {
    "surrogate in a value": b'{"token": "\\ud800", "PatientID": "\\ud800", "SourceID": "\\ud800"}',
    "surrogate in a key": b'{"\\udfff": 1}',
    "encoded surrogate": b'{"PatientID": "\xed\xa0\x80"}',
    "NUL": b'{"PatientID": "A\\u0000B", "token": "A\\u0000"}',
    "NaN": b'{"expiresIn": NaN}',
    "Infinity": b'{"expiresIn": -Infinity}',
    "beyond a double": b'{"expiresIn": 1e999}',
    "deep": b'{"a": ' + b"[" * 7_000 + b"]" * 7_000 + b"}",
    "just too deep": b'{"a": ' * 40 + b"1" + b"}" * 40,
}
POSTS = ("/workitems", "/otps", "/otps/redeem", "/new-exam-callback", "/uploads", "/uploads/U/files/F/complete")


def problem(given: Any) -> tuple[int, str]:
    assert given.headers["Content-Type"] == "application/problem+json", given.text
    return given.status_code, given.json()["code"]


@pytest.mark.parametrize("path", EXACT)
def test_no_filter_is_empty_or_a_wildcard(stack: Stack, path: str) -> None:
    for name in EXACT[path]:
        for value in ("", "%20", "*", "%3F%3F%3F", "A*", "A%5CB", "A%00", "%ED%A0%80"):
            given = stack.request("GET", f"{path}?{name}={value}")
            assert problem(given) == (400, "INVALID_PARAMETER"), (name, value)


@pytest.mark.parametrize(
    "query", ["patientName=*", "patientName=%20", "patientName=%3F%5E*", "studyUID=", "%ED%A0%80=1"]
)
def test_no_slip_lists_everybody(stack: Stack, query: str) -> None:
    assert problem(stack.request("GET", f"/exams/studies?{query}")) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize("query", ["PatientID=", "00100020=%20", "StudyInstanceUID=", "PatientName=%20"])
def test_no_slip_lists_everybody_to_a_viewer(stack: Stack, query: str) -> None:
    assert problem(stack.request("GET", f"/dicomweb/studies?{query}")) == (400, "INVALID_PARAMETER")


def test_a_forged_cursor_beyond_the_range_is_an_empty_page(stack: Stack) -> None:
    """What DynamoDB refuses, because the bounds are the wrong way round, is no failure of the service."""
    early = "0000-00-00T00:00:00.000Z~0"
    pages = (
        ("/workitems?modality=CT&from=20260101&to=20260131", "99990101000000%232.25.1", ""),
        ("/workitems?from=20260101&to=20260131", "99990101000000%232.25.1", ""),
        ("/exams/studies/1.2.3/accesses?from=20260131", early, ""),
        ("/audit?patientID=P1&from=20260131", early, stack.auditor_key),
        ("/audit?who=local&from=9600-02-29", early, stack.auditor_key),
    )
    for path, cursor, key in pages:
        given = stack.request("GET", f"{path}&cursor={cursor}", key=key)
        assert (given.status_code, given.json()) == (200, []), path


@pytest.mark.parametrize("path", ["/exams/studies", "/workitems"])
def test_a_reversed_range_is_the_callers_error(stack: Stack, path: str) -> None:
    given = stack.request("GET", f"{path}?from=2027-01-31&to=2026-01-01")
    assert problem(given) == (400, "INVALID_PARAMETER")
    assert [error["field"] for error in given.json()["errors"]] == ["to"]


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_no_body_is_a_5xx(stack: Stack, body: bytes) -> None:
    for path in POSTS:
        key = stack.callback_key if path == "/new-exam-callback" else ""
        given = stack.request("POST", path, data=body, headers={"Content-Type": "application/json"}, key=key)
        assert problem(given) == (400, "NOT_JSON"), path


@pytest.mark.parametrize("key", ["1", "order-4711", "a" * 40])
def test_an_idempotency_key_that_others_may_use_is_rejected(stack: Stack, key: str) -> None:
    body, headers = {"token": "7N42SGRQE0K3W9XH.20735128"}, {"Idempotency-Key": key}
    given = stack.request("POST", "/otps/redeem", json=body, key=None, headers=headers)
    assert problem(given) == (400, "INVALID_BODY")
    assert [error["field"] for error in given.json()["errors"]] == ["Idempotency-Key"]


def test_no_header_of_the_request_becomes_a_link(stack: Stack) -> None:
    headers = {"X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil.example"}
    given = stack.request("GET", "/openapi.json", key=None, headers=headers)
    assert given.status_code == 200
    assert "evil.example" not in given.text
    assert "gopher" not in given.text
