"""What a request leaves behind: before its answer if it reads, before its work if it changes something."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.audit import notes, store
from dicom_service.audit.actions import ARCHIVE_DOWNLOAD
from dicom_service.audit.recorder import Recorder
from dicom_service.errors import Unavailable
from dicom_service.patient import Patient, index_value
from tests.support import audit
from tests.support.audit import NOON, OTHER, STUDY, STUDY_ROUTE, TABLE, Clock, hasher, records, request, serve_once
from tests.support.faults import Killed

ALICE, BOB = Patient.of("CANARY-ALICE"), Patient.of("CANARY-BOB")


def hashed(patient: Patient) -> str:
    return index_value(hasher().hash(patient))


def test_a_picture_leaves_who_what_when_from_where_and_with_which_outcome(recorder: Recorder, clock: Clock) -> None:
    pending = recorder.begin(request(organisation="Ospedale"))
    notes.note(patient=ALICE)
    clock.forward(seconds=2)
    recorder.finish(pending, 200)
    [row] = records()
    assert row.pop("expiresAt") == int(NOON.timestamp()) + 3653 * 86_400
    assert len(row.pop("id")) == 32
    assert row == {
        "at": "2026-01-31T12:00:02.000Z",
        "last": "2026-01-31T12:00:02.000Z",
        "day": "2026-01-31",
        "count": 1,
        "who": "clinic",
        "role": "service",
        "organisation": "Ospedale",
        "address": "203.0.113.7",
        "action": "picture",
        "route": f"GET {STUDY_ROUTE}/thumbnail",
        "study": STUDY,
        "patient": hashed(ALICE),
        "status": 200,
        "outcome": 0,
        "requestId": "r1",
    }


def test_no_value_of_a_patient_is_in_a_record(recorder: Recorder) -> None:
    pending = recorder.begin(request("GET", "/exams/studies", study=None, query={"PatientId": "CANARY-ALICE"}))
    notes.note(study_uid=STUDY, patient=BOB)
    recorder.finish(pending, 200)
    body = json.dumps({"studyUID": OTHER, "patientID": "CANARY-ALICE", "user": "CANARY-USER"})
    serve_once(recorder, request("POST", "/otps", study=None, body=body, number="r2"))
    assert {row["patient"] for row in records()} == {hashed(ALICE), hashed(BOB)}
    assert "CANARY" not in json.dumps(records(), default=str)


def test_leafing_through_an_exam_is_one_record_with_a_count(recorder: Recorder, clock: Clock) -> None:
    for number in range(20):
        serve_once(recorder, request(number=f"r{number}"))
        clock.forward(seconds=10)
    [row] = records()
    assert (row["count"], row["at"], row["last"]) == (20, "2026-01-31T12:00:00.000Z", "2026-01-31T12:03:10.000Z")
    assert row["requestId"] == "r0"


@pytest.mark.parametrize(
    "other",
    [
        request(who="someone"),
        request(role="reader"),
        request(study=OTHER),
        request(resource=f"{STUDY_ROUTE}/series"),
        request(organisation="Clinica"),
    ],
    ids=["who", "role", "study", "action", "organisation"],
)
def test_another_viewer_exam_or_action_is_a_record_of_its_own(recorder: Recorder, other: dict[str, Any]) -> None:
    serve_once(recorder, request())
    serve_once(recorder, other)
    assert [row["count"] for row in records()] == [1, 1]


def test_another_quarter_or_outcome_is_a_record_of_its_own(recorder: Recorder, clock: Clock) -> None:
    serve_once(recorder, request())
    serve_once(recorder, request(), 404)
    clock.forward(minutes=15)
    serve_once(recorder, request())
    assert sorted((row["at"][11:16], row["outcome"]) for row in records()) == [("12:00", 0), ("12:00", 4), ("12:15", 0)]


def test_counting_up_sends_only_what_changes_and_writes_anew_what_is_gone(
    recorder: Recorder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records are never removed but by their retention, or by who restores an older copy of the table."""
    sent: list[dict[str, Any]] = []
    real = aws.dynamodb().update_item

    def update(**given: Any) -> Any:
        sent.append(given)
        return real(**given)

    monkeypatch.setattr(aws.dynamodb(), "update_item", update)
    serve_once(recorder, request(number="r1"))
    [first] = records()
    clock.forward(seconds=1)
    serve_once(recorder, request(number="r2"))
    [second] = records()
    assert second == first | {"count": 2, "last": "2026-01-31T12:00:01.000Z"}
    assert [len(given["ExpressionAttributeValues"]) for given in sent] == [len(first) - 1, 2]
    aws.dynamodb().delete_item(TableName=TABLE, Key=aws.to_item({"id": first["id"]}))
    serve_once(recorder, request(number="r3"))
    [third] = records()
    assert third == second | {"count": 1, "at": second["last"], "requestId": "r3"}
    assert len(sent) == 4


def test_a_list_with_one_record_that_is_gone_counts_each_once(recorder: Recorder) -> None:
    def shown() -> None:
        pending = recorder.begin(request("GET", "/exams/studies", study=None))
        notes.note_rows(rows_of(3))
        recorder.finish(pending, 200)

    shown()
    gone, *_ = records()
    aws.dynamodb().delete_item(TableName=TABLE, Key=aws.to_item({"id": gone["id"]}))
    shown()
    assert sorted((row["count"], "who" in row) for row in records()) == [(1, True), (2, True), (2, True)]


def test_more_records_than_a_process_remembers_are_all_counted(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_MOST_KNOWN", 2)
    for _ in range(3):
        for number in range(5):
            serve_once(recorder, request(study=f"1.2.{number}"))
    assert [row["count"] for row in records()] == [3] * 5


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"0020000D": {"Value": [f"1.2.{n}"]}, "00100020": {"Value": [f"P{n % 7}"]}} for n in range(count)]


def test_a_list_leaves_a_record_for_each_exam_that_it_shows(recorder: Recorder) -> None:
    for _ in range(2):
        pending = recorder.begin(request("GET", "/exams/studies", study=None))
        notes.note_rows(rows_of(25))
        recorder.finish(pending, 200)
    found = records()
    assert {row["study"] for row in found} == {f"1.2.{n}" for n in range(25)}
    assert [row["count"] for row in found] == [2] * 25
    assert len({row["patient"] for row in found}) == 7


def test_a_list_of_more_exams_leaves_one_record_that_names_them(recorder: Recorder) -> None:
    pending = recorder.begin(request("GET", "/exams/studies", study=None))
    notes.note_rows(rows_of(26))
    recorder.finish(pending, 200)
    [row] = records()
    assert set(row["studies"].split()) == {f"1.2.{n}" for n in range(26)}
    assert "study" not in row and "patient" not in row


@pytest.mark.parametrize(
    ("route", "name"),
    [("/exams/studies", "patientID"), ("/dicomweb/studies", "PatientID"), ("/dicomweb/studies", "00100020")],
)
def test_a_list_that_shows_nothing_is_recorded_by_the_patient_asked_for(
    recorder: Recorder, route: str, name: str
) -> None:
    serve_once(recorder, request("GET", route, study=None, query={name: "CANARY-ALICE"}))
    [row] = records()
    assert (row["patient"], row.get("study")) == (hashed(ALICE), None)


def test_a_search_by_the_tag_of_an_exam_is_recorded_with_it(recorder: Recorder) -> None:
    serve_once(recorder, request("GET", "/dicomweb/studies", study=None, query={"0020000D": STUDY}))
    [row] = records()
    assert row["study"] == STUDY


def test_fields_of_events_and_reports_name_exam_and_patient(recorder: Recorder) -> None:
    pending = recorder.begin(request("GET", "/events", study=None))
    notes.note_fields({"StudyInstanceUID": STUDY, "PatientID": "CANARY-ALICE", "IssuerOfPatientID": None})
    notes.note_fields({"studyUID": OTHER, "otpId": "x"})
    notes.note_fields({"uploadId": "x", "PatientID": 7})
    recorder.finish(pending, 200)
    assert {(row["study"], row.get("patient")) for row in records()} == {(STUDY, hashed(ALICE)), (OTHER, None)}


def test_a_picture_and_a_file_of_one_route_are_told_apart(recorder: Recorder) -> None:
    route = f"{STUDY_ROUTE}/series/{{seriesUID}}/instances/{{instanceUID}}"
    for kind in ("image/jpeg", "application/dicom"):
        serve_once(recorder, request(resource=route, query={"FileType": kind}))
    assert {row["action"] for row in records()} == {"picture", "download"}


def test_a_read_is_what_it_turned_out_to_be_unless_it_is_refused(recorder: Recorder) -> None:
    for status in (200, 500):
        pending = recorder.begin(request(resource=f"{STUDY_ROUTE}/archive"))
        notes.note_action(ARCHIVE_DOWNLOAD)
        recorder.finish(pending, status)
    # What was noted on one request is not known of the next.
    serve_once(recorder, request(resource=f"{STUDY_ROUTE}/archive"))
    assert {(row["action"], row["status"]) for row in records()} == {
        ("archive-download", 200),
        ("archive-state", 500),
        ("archive-state", 200),
    }


def test_a_failed_read_has_shown_only_what_was_asked_for(recorder: Recorder) -> None:
    pending = recorder.begin(request())
    notes.note(study_uid=OTHER, patient=BOB)
    recorder.finish(pending, 404)
    [row] = records()
    assert (row["study"], row.get("patient"), row["outcome"]) == (STUDY, None, 4)


def test_a_token_is_recorded_with_the_patient_that_it_was_issued_for(recorder: Recorder) -> None:
    serve_once(recorder, request(who="otp:abc", role="exam", patient=hasher().hash(ALICE), studyUID=STUDY))
    [row] = records()
    assert (row["who"], row["patient"]) == ("otp:abc", hashed(ALICE))


def test_a_change_is_recorded_before_its_work_and_completed_after(recorder: Recorder) -> None:
    event = request("POST", "/otps", study=None, body=json.dumps({"studyUID": STUDY}))
    pending = recorder.begin(event)
    [begun] = records()
    assert (begun["action"], begun["study"], begun.get("status"), begun["count"]) == ("share", STUDY, None, 1)
    notes.note(study_uid=STUDY, patient=ALICE)
    recorder.finish(pending, 201)
    [done] = records()
    assert done | {"last": 0} == begun | {"status": 201, "outcome": 0, "patient": hashed(ALICE), "last": 0}


def test_a_change_of_several_exams_is_found_by_each(recorder: Recorder) -> None:
    pending = recorder.begin(request("POST", "/exams", study=None))
    notes.note(study_uid=STUDY, patient=ALICE)
    notes.note(study_uid=OTHER, patient=BOB)
    recorder.finish(pending, 200)
    assert [(row["study"], row["patient"], row["count"]) for row in records()] == [
        (STUDY, hashed(ALICE), 1),
        (OTHER, hashed(BOB), 1),
    ]


def test_who_redeems_is_noted_by_the_code(recorder: Recorder) -> None:
    pending = recorder.begin(request("POST", "/otps/redeem", study=None, who=None))
    notes.note_viewer("otp:abc")
    recorder.finish(pending, 401)
    [row] = records()
    assert (row["who"], row["status"], row["outcome"]) == ("otp:abc", 401, 4)


def test_notes_outside_of_a_request_go_nowhere(recorder: Recorder) -> None:
    recorder.finish(recorder.begin(request()), 200)
    notes.note(study_uid=OTHER)
    notes.note_viewer("nobody")
    serve_once(recorder, request(number="r2"))
    [row] = records()
    assert (row["study"], row["who"], row["count"]) == (STUDY, "clinic", 2)


def test_refusals_are_recorded_and_strangers_gathered(recorder: Recorder) -> None:
    for number in range(5):
        recorder.reject(request(study=f"1.2.{number}", who=None, query={"patientID": f"P{number}"}), None)
    recorder.reject(request("DELETE", "/otps", study=None), {"principal": "screen", "role": "reader"})
    recorder.reject(request("GET", "/uid", study=None), {"principal": "screen", "role": "reader"})
    stranger, reader = sorted(records(), key=lambda row: str(row["who"]), reverse=True)
    assert (stranger["who"], stranger["count"], stranger["status"]) == ("unknown", 5, 401)
    assert "study" not in stranger and "patient" not in stranger
    assert (reader["who"], reader["action"], reader["status"], reader["outcome"]) == ("screen", "revoke", 403, 4)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the table refuse every write, and count them."""
    tried: list[str] = []

    def refuse(**given: Any) -> None:
        tried.append(given.get("TableName", "transaction"))
        raise ClientError({"Error": {"Code": "InternalServerError", "Message": ""}}, "UpdateItem")

    monkeypatch.setattr(aws.dynamodb(), "update_item", refuse)
    monkeypatch.setattr(aws.dynamodb(), "transact_write_items", refuse)
    return tried


def test_what_cannot_be_recorded_is_refused(recorder: Recorder, broken: list[str]) -> None:
    with pytest.raises(Unavailable):
        serve_once(recorder, request())
    with pytest.raises(Unavailable):
        recorder.begin(request("DELETE", "/otps", study=None))
    assert broken == [TABLE, TABLE]


def test_best_effort_serves_and_says_so(clock: Clock, broken: list[str], log: Any) -> None:
    to = audit.recorder(clock, "best-effort")
    serve_once(to, request())
    serve_once(to, request("DELETE", "/otps", study=None))
    assert log.getvalue().count("access not recorded") == 3 == len(broken)


def test_a_refusal_stays_one_when_it_cannot_be_recorded(recorder: Recorder, broken: list[str], log: Any) -> None:
    recorder.reject(request(who=None), None)
    assert broken and "access not recorded" in log.getvalue()


@pytest.mark.parametrize(
    "event", [request(), request("DELETE", "/otps", query={"studyUID": STUDY})], ids=["read", "change"]
)
def test_a_kill_at_any_write_leaves_a_record_or_no_access(
    recorder: Recorder, event: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN a function that dies before or after its nth write THEN what was shown or changed has its record."""
    seen = 0
    real = aws.dynamodb().update_item
    for after in (False, True):
        for doomed in (1, 2):
            before = len(records())
            writes, effects = [0], 0

            def write(_after: bool = after, _doomed: int = doomed, _writes: list[int] = writes, **given: Any) -> Any:
                _writes[0] += 1
                if _writes[0] == _doomed and not _after:
                    raise Killed
                answered = real(**given)
                if _writes[0] == _doomed:
                    raise Killed
                return answered

            monkeypatch.setattr(aws.dynamodb(), "update_item", write)
            event["requestContext"]["requestId"] = f"{after}{doomed}"
            event["requestContext"]["authorizer"]["principal"] = f"killed {after}{doomed}"
            try:
                pending = recorder.begin(event)
                effects += bool(pending and pending.record.action.changes)
                recorder.finish(pending, 200)
                effects += 1
            except Killed:
                seen += 1
            assert effects == 0 or len(records()) == before + 1
    assert seen == (4 if event["httpMethod"] == "DELETE" else 2)


def test_a_value_that_is_no_text_names_nobody_and_is_left_to_the_route(recorder: Recorder) -> None:
    body = '{"patientID": "\\ud800", "studyUID": "' + STUDY + '"}'
    serve_once(recorder, request("POST", "/otps", study=None, body=body, number="r3"))
    assert [(row["study"], row.get("patient", "")) for row in records()] == [(STUDY, "")]
