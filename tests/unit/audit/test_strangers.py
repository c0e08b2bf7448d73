"""What strangers, and recipients of one exam, send: it is gathered, and says nothing of exams that are not theirs."""

import json
from typing import Any

import pytest

from dicom_service.audit import notes
from dicom_service.audit.recorder import Recorder
from dicom_service.patient import Patient, index_value
from tests.support.audit import OTHER, STUDY, hasher, records, request, serve_once

ALICE = Patient.of("CANARY-ALICE")
ATTEMPTS = 30


def redemption(number: int, **body: Any) -> dict[str, Any]:
    text = json.dumps(body) if body else "{"
    query = {"studyUID": f"1.2.{number}", "patientID": f"P{number}"}
    return request("POST", "/otps/redeem", study=None, who=None, number=f"r{number}", body=text, query=query)


def recipient(resource: str, study: str | None, **more: Any) -> dict[str, Any]:
    hashed = hasher().hash(ALICE)
    return request("GET", resource, study=study, who="otp:abc", role="exam", patient=hashed, studyUID=STUDY, **more)


def test_what_a_stranger_makes_up_is_one_record_that_names_no_exam_and_no_patient(recorder: Recorder) -> None:
    for number in range(ATTEMPTS):
        event = redemption(number, studyUID=f"1.2.{number}", StudyInstanceUID=STUDY, patientID="CANARY-ALICE")
        serve_once(recorder, event, 401)
        serve_once(recorder, redemption(number), 400)
        serve_once(recorder, redemption(number), 429)
    found = records()
    assert {(row["who"], row["status"], row["count"]) for row in found} == {
        ("unknown", status, ATTEMPTS) for status in (400, 401, 429)
    }
    assert not {"study", "patient", "studies"} & {name for row in found for name in row}


def test_wrong_tries_at_a_code_are_gathered_and_found_by_its_exam(recorder: Recorder) -> None:
    for number in range(ATTEMPTS):
        pending = recorder.begin(redemption(number, otpId="known"))
        notes.note_viewer("otp:abc")
        notes.note(study_uid=STUDY, patient=ALICE)
        recorder.finish(pending, 401)
    [row] = records()
    assert (row["who"], row["study"], row["status"], row["count"]) == ("otp:abc", STUDY, 401, ATTEMPTS)


def test_a_stranger_with_a_network_of_ipv6_is_gathered_and_named_by_the_first_address(recorder: Recorder) -> None:
    first = "2001:db8:1:2::1"
    for number in range(1, ATTEMPTS):
        event = request(who=None, address=f"2001:db8:1:2:{number:x}::{number:x}" if number > 1 else first)
        recorder.reject(event, None)
        # One who holds a code, or a token of one exam, has as many addresses.
        made_up = request(
            "POST", "/otps/redeem", study=None, who=None, address=event["requestContext"]["identity"]["sourceIp"]
        )
        pending = recorder.begin(made_up)
        notes.note_viewer("otp:abc")
        notes.note(study_uid=STUDY, patient=ALICE)
        recorder.finish(pending, 401)
    assert sorted((row["who"], row["address"], row["count"]) for row in records()) == [
        ("otp:abc", first, ATTEMPTS - 1),
        ("unknown", first, ATTEMPTS - 1),
    ]


@pytest.mark.parametrize(
    "addresses",
    [
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("203.0.113.7", "203.0.113.8"),
        # IPv4 within one /64 of IPv6, as some gateways write it
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8"),
        ("", "no address"),
    ],
)
def test_others_are_not_gathered_with_a_stranger(recorder: Recorder, addresses: tuple[str, str]) -> None:
    for address in addresses:
        recorder.reject(request(who=None, address=address), None)
    assert {row.get("address", "") for row in records()} == set(addresses)


def test_a_redemption_is_recorded_before_its_use_is_counted(recorder: Recorder) -> None:
    pending = recorder.begin(redemption(1, token="right"))
    assert records() == []
    notes.note_viewer("otp:abc")
    notes.note(study_uid=STUDY, patient=ALICE)
    notes.begin_change()
    [begun] = records()
    assert (begun["who"], begun["study"], begun.get("status"), begun["count"]) == ("otp:abc", STUDY, None, 1)
    recorder.finish(pending, 200)
    [done] = records()
    assert done | {"last": 0} == begun | {"status": 200, "outcome": 0, "last": 0}


def test_beginning_a_change_twice_or_outside_of_a_request_writes_nothing_more(recorder: Recorder) -> None:
    pending = recorder.begin(request("DELETE", "/otps", study=None, query={"studyUID": STUDY}))
    notes.begin_change()
    recorder.finish(pending, 200)
    notes.begin_change()
    [row] = records()
    assert (row["study"], row["count"], row["status"]) == (STUDY, 1, 200)


@pytest.mark.parametrize("role", ["exam", "suspended"])
def test_a_recipient_who_is_refused_other_exams_is_gathered_and_names_none_of_them(
    recorder: Recorder, role: str
) -> None:
    known = {"principal": "otp:abc", "role": role, "studyUID": STUDY, "patient": hasher().hash(ALICE)}
    for number in range(ATTEMPTS):
        recorder.reject(request(study=f"1.2.{number}", who=None, query={"patientID": "P"}), known)
    [row] = records()
    assert (row["who"], row["status"], row["count"]) == ("otp:abc", 403, ATTEMPTS)
    assert not {"study", "patient", "studies"} & row.keys()


def test_a_token_never_writes_its_patient_into_the_audit_of_another_exam(recorder: Recorder) -> None:
    route = "/dicomweb/studies/{studyUID}/metadata"
    serve_once(recorder, recipient(route, OTHER), 404)
    serve_once(recorder, recipient("/dicomweb/studies", None, query={"StudyInstanceUID": OTHER, "PatientID": "P"}))
    assert [(row.get("study"), row.get("patient")) for row in records()] == [(None, None)] * 2
    # Control: of its own exam it does, and of none.
    serve_once(recorder, recipient(route, STUDY), 404)
    serve_once(recorder, recipient("/dicomweb/studies", None))
    own = index_value(hasher().hash(ALICE))
    assert {(row.get("study"), row.get("patient")) for row in records()} == {
        *((None, None), (STUDY, own), (None, own)),
    }


def test_a_token_from_before_patients_were_hashed_names_no_patient_by_its_query(recorder: Recorder) -> None:
    event = recipient("/dicomweb/studies", None, query={"patientID": "CANARY-BOB"})
    event["requestContext"]["authorizer"]["patient"] = ""
    serve_once(recorder, event)
    [row] = records()
    assert "patient" not in row
