"""AuditEvents of every kind of record keep to FHIR R4 and, where they name a profile of BALP, to that."""

import copy
import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from dicom_service.audit.actions import ARCHIVE_DOWNLOAD, ROUTES
from dicom_service.audit.fhir import audit_event, bundle
from dicom_service.audit.notes import Shown, note, note_action
from dicom_service.audit.record import Viewer
from dicom_service.audit.recorder import MOST_EXAMS, Recorder
from dicom_service.patient import Patient
from tests.support.audit import STUDY, records, request, serve_once
from tests.support.balp import BALP, PROFILES, STRICTER, Rule, broken, nodes, problems

SERVER = "https://api.example.org/v1"
VIEWERS = ({"who": "clinic"}, {"who": "oidc:dr", "role": "reader"}, {"who": "otp:abc", "role": "exam"}, {"who": None})
Event = dict[str, Any]


@pytest.fixture
def rows(recorder: Recorder) -> list[dict[str, Any]]:
    """Return a record of each kind, by several viewers, with and without exam and patient, good and refused."""
    numbers = count()
    for (method, resource), action in ROUTES.items():
        if action is None:
            continue
        for number, viewer in enumerate(VIEWERS):
            for status in (200, 404, 503):
                query = {"patientID": "CANARY"} if number % 2 else None
                event = request(method, resource, study=STUDY if number else None, query=query, **viewer)  # type: ignore[arg-type]
                event["requestContext"]["requestId"] = f"request-{next(numbers)}"
                serve_once(recorder, event, status)
    recorder.begin(request("POST", "/otps", number="killed"))
    for viewer in VIEWERS:
        pending = recorder.begin(request(resource="/exams/studies", study=None, number="long-list", **viewer))
        for number in range(MOST_EXAMS + 1):
            note(study_uid=f"{STUDY}.{number}")
        recorder.finish(pending, 200)
    for viewer in VIEWERS:
        pending = recorder.begin(request(resource="/exams/studies/{studyUID}/archive", **viewer))
        note_action(ARCHIVE_DOWNLOAD)
        recorder.finish(pending, 303)
    by_upload = Viewer("clinic", address="2001:db8::1")
    recorder.arrived(by_upload, "upload", "S3 upload/", {Shown(STUDY, Patient.of("CANARY")): 3, Shown("1.2.3"): 1})
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
    broken_one = copy.deepcopy(event)
    BREAKS[name](broken_one)
    assert list(problems(broken_one)) != []


def breaking(event: Event, id_: str, rule: Rule, rules: dict[str, Rule]) -> bool:
    """Break one rule of a profile; False where the event has nothing that it speaks of."""
    parent, _, name = id_.rpartition(".")
    member, _, slice_ = name.partition(":")
    found = nodes(event, parent, rules)
    for node in found:
        picked = nodes(event, id_, rules) if slice_ else []
        if rule.most == 0:
            node[member] = "something"
        elif rule.least and slice_:
            node[member] = [one for one in node[member] if one not in picked]
        elif rule.least > 1:
            node[member] = node[member][:1]
        elif rule.least:
            del node[member]
        elif slice_:
            node[member] = [*node[member], *picked, *picked]
        elif rule.pattern is not None or rule.among:
            node[member] = "another"
        else:
            node[member] = ["one", "another"]
        if slice_ and not picked:
            return False
    return bool(found)


# What decides whether an agent or an entity is one of an optional kind: another value makes it none of them.
DECIDES = {"agent:user.type", "entity:transaction.type"}
# The service reads and searches by one interaction.
ABSENT = {"subtype:anyVread", "subtype:anySearch", "subtype:anySearchS"}


@pytest.mark.parametrize("profile", PROFILES)
def test_each_rule_of_each_profile_is_seen_when_it_is_broken(recorder: Recorder, profile: str) -> None:
    """The event of a person, which has everything that the rules speak of."""
    query = {"patientID": "P"} if profile.startswith("Patient") else None
    route = {"resource": "/exams/studies", "study": None} if profile.endswith("Query") else {}
    serve_once(recorder, request(query=query, who="oidc:dr", role="reader", **route))  # type: ignore[arg-type]
    event = audit_event(records()[0], SERVER)
    assert event["meta"]["profile"] == [BALP + profile]
    rules = PROFILES[profile] | STRICTER
    assert list(broken(event, rules)) == []
    unseen = set()
    for id_, rule in rules.items():
        attacked = copy.deepcopy(event)
        if not breaking(attacked, id_, rule, rules) or not list(broken(attacked, rules)):
            unseen.add(id_)
    assert unseen == {id_ for id_ in DECIDES | ABSENT if id_ in rules}
    assert len(rules) >= 45


def test_a_patient_is_referred_to_as_one(recorder: Recorder) -> None:
    serve_once(recorder, request(query={"patientID": "P"}))
    event = audit_event(records()[0], SERVER)
    event["entity"][2]["what"]["type"] = "Person"
    assert list(problems(event)) != []
