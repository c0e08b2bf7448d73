"""AuditEvents of every kind of record keep to FHIR R4 and, where they name a profile of BALP, to that."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from dicom_service.audit.actions import ROUTES
from dicom_service.audit.fhir import audit_event, bundle
from dicom_service.audit.recorder import Recorder
from tests.support.audit import STUDY, records, request, serve_once
from tests.support.balp import BALP, problems

SERVER = "https://api.example.org/v1"
VIEWERS = ({"who": "clinic"}, {"who": "oidc:dr", "role": "reader"}, {"who": "otp:abc", "role": "exam"}, {"who": None})
Event = dict[str, Any]


@pytest.fixture
def rows(recorder: Recorder) -> list[dict[str, Any]]:
    """Return a record of each route, by several viewers, with and without exam and patient, good and refused."""
    for (method, resource), action in ROUTES.items():
        if action is None:
            continue
        for number, viewer in enumerate(VIEWERS):
            for status in (200, 404, 503):
                query = {"patientID": "CANARY"} if number % 2 else None
                event = request(method, resource, study=STUDY if number else None, query=query, **viewer)  # type: ignore[arg-type]
                event["requestContext"]["requestId"] = f"{method}{resource}{number}{status}"
                serve_once(recorder, event, status)
    recorder.begin(request("POST", "/otps", number="killed"))
    return records()


def test_every_record_is_an_event_that_keeps_to_its_profiles(rows: list[dict[str, Any]]) -> None:
    profiles: set[str] = set()
    for row in rows:
        event = audit_event(row, SERVER)
        assert list(problems(event)) == [], row["action"]
        profiles |= set(event.get("meta", {}).get("profile", []))
        assert "CANARY" not in json.dumps(event)
    assert profiles == {BALP + name for name in ("Read", "PatientRead", "Query", "PatientQuery")}
    assert len(rows) >= 300
    text = json.loads(json.dumps(bundle(rows, SERVER, {"next": "https://x"})))
    assert (text["type"], len(text["entry"]), text["link"][0]["relation"]) == ("searchset", len(rows), "next")


def without(event: Event, *path: Any) -> Event:
    part: Any = event
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return event


BREAKS: dict[str, Callable[[Event], Any]] = {
    "no server": lambda event: without(event, "agent", 1),
    "no network": lambda event: without(event, "agent", 0, "network"),
    "a name of the client": lambda event: event["agent"][0].update(name="clinic"),
    "a name of the request": lambda event: event["entity"][1].update(name="clinic"),
    "no who": lambda event: without(event, "agent", 1, "who"),
    "no observer": lambda event: without(event, "source", "observer"),
    "no requestor": lambda event: without(event, "agent", 0, "requestor"),
    "a failure": lambda event: event.update(outcome="4"),
    "another action": lambda event: event.update(action="U"),
    "no interaction": lambda event: without(event, "subtype", 0),
    "no patient": lambda event: without(event, "entity", 2),
    "no object": lambda event: without(event, "entity", 0),
    "no request": lambda event: event["entity"][1]["what"]["identifier"].update(value=""),
    "a local time": lambda event: event.update(recorded="2026-01-31 12:00"),
    "an unknown element": lambda event: event.update(who="clinic"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_a_constraint_is_seen(recorder: Recorder, name: str) -> None:
    serve_once(recorder, request(query={"patientID": "P"}))
    event = audit_event(records()[0], SERVER)
    assert list(problems(event)) == []
    broken = copy.deepcopy(event)
    BREAKS[name](broken)
    try:
        assert list(problems(broken)) != []
    except (KeyError, IndexError):
        return
