"""Every type of event that the service writes: it has a schema, is in the documents, and fits its schema."""

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jsonschema
import pytest

from dicom_service.audit.access_events import ACCESS_RECORDED
from dicom_service.erasure.tables import ERASED_EVENT
from dicom_service.notifications.announce import DETAIL_TYPE
from dicom_service.notifications.message import Notification
from dicom_service.otp import events
from dicom_service.otp.model import Otp
from dicom_service.outbox import Event
from dicom_service.worklist import events as workitems
from dicomweb.worklist.base import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED, Workitem

ROOT = Path(__file__).parents[3]
OTP_TYPES: tuple[Any, ...] = get_args(get_type_hints(events.event)["detail_type"])
OTP = Otp("id", "k1", "digits", "1.2.3", "patient", "portal", 1_800_000_000, 1_800_003_600, 1_800_090_000)
FIELDS = {"PatientName": "CANARY^NAME", "PatientID": "P1", "AccessionNumber": "A1"}
EVENTS = [events.event(one, OTP) for one in OTP_TYPES]
for _type in (workitems.CREATED, workitems.DELETED):
    EVENTS.append(workitems.event(_type, Workitem("1.2.3", "1.2.4", FIELDS, SCHEDULED)))
for _state in (IN_PROGRESS, COMPLETED, CANCELED):
    EVENTS.append(workitems.event(workitems.of_state(_state), Workitem("1.2.3", "", FIELDS, _state)))
# Written in one place each, whose own tests hold their content to the schema.
OTHERS = {DETAIL_TYPE, ERASED_EVENT, ACCESS_RECORDED, "Exam Rejected"}


def schemas() -> dict[str, Any]:
    """Return the schema of each type; a title such as `OTP Issued, Redeemed` names two."""
    found: dict[str, Any] = {}
    for path in (ROOT / "schemas/events/v1").glob("*.json"):
        schema = json.loads(path.read_text())
        what, _, happened = schema["title"].partition(" ")
        found |= {f"{what} {one}": schema for one in happened.split(", ")}
    return found


def test_the_types_written_are_those_that_have_a_schema() -> None:
    written = {event.detail_type for event in EVENTS} | OTHERS

    assert len(written) == len(EVENTS) + len(OTHERS)
    assert written == set(schemas())


def test_the_code_names_no_other_type() -> None:
    """GIVEN the sources THEN each literal that looks like a type is one of those above: a new one needs a schema."""
    sources = [path for path in (ROOT / "layers/service/dicom_service").rglob("*.py")]
    named = {
        one
        for path in sources
        for one in re.findall(r'"((?:Access|Event|Exam|Workitem|OTP) [A-Z][a-z]+)"', path.read_text())
    }

    assert len(named) >= 13
    assert named == set(schemas())


def test_the_document_names_every_type() -> None:
    text = re.sub(r"\s+", "", (ROOT / "docs/notifications.md").read_text())
    found = re.findall(r"`(Access|Event|Exam|Workitem|OTP)([A-Z][A-Za-z/]+)`", text)
    named = {f"{what} {one}" for what, happened in found for one in happened.split("/")}

    assert named >= set(schemas())


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.detail_type)
def test_an_event_fits_its_schema_and_names_nobody(event: Event) -> None:
    data = Notification("0" * 32, event.detail_type, event.detail, 1_800_000_000_000, 1).data()

    jsonschema.validate(data, schemas()[event.detail_type])
    assert "CANARY" not in json.dumps(data)
