"""Each worklist protocol against a server that is as strict as its product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from dicomweb.errors import NotFound, PacsFault, PacsUnreachable, RequestRejected
from dicomweb.transport import Transport
from dicomweb.worklist.base import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED, Query, Workitem, WorkitemKey, Worklist
from dicomweb.worklist.rest import Rest
from dicomweb.worklist.ups_rs import UpsRs
from tests.support.pacs import FakePacs, html, reset
from tests.support.worklist import open_worklist
from tests.support.worklist_pacs import MAKERS, MwlServer, Server, UpsServer, nothing, value

FIELDS = {
    "PatientID": "PID'1",
    "PatientName": 'O\'Brien^Mary "M"=山田^花子=やまだ^はなこ',
    "AccessionNumber": "A^1",
    "Modality": "CT",
    "ScheduledStationAETitle": "CT_ROOM 1",
    "ScheduledProcedureStepStartDate": "20261122",
    "ScheduledProcedureStepStartTime": "1030",
    "ScheduledProcedureStepDescription": 'CT "Schädel" / Kopf & Hals',
    "ScheduledProcedureStepID": "SPS/1 #2",
    "MedicalAlerts": "Nickel\\Latex",
    "PregnancyStatus": "4",
}


def workitem(number: int = 1, **changes: str) -> Workitem:
    return Workitem(f"1.2.3.{number}", f"1.2.4.{number}", {**FIELDS, **changes}, transaction_uid="1.2.5.1")


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str) -> Server:
    return MAKERS[kind]()


@pytest.fixture
def worklist(kind: str, server: Server) -> Iterator[Worklist]:
    with FakePacs(server) as pacs:
        yield open_worklist(kind, pacs.url)


def carried(worklist: Worklist, item: Workitem) -> dict[str, str]:
    return {name: text for name, text in item.fields.items() if name in worklist.supported_fields}


def test_what_is_created_comes_back_unchanged(worklist: Worklist) -> None:
    # GIVEN a workitem with quotes, carets, several scripts
    made = worklist.create(workitem())
    # WHEN it is read back
    found = worklist.retrieve(made.key)
    # THEN every field that the protocol supports is what was given
    assert carried(worklist, found) == carried(worklist, made)
    assert (found.study_instance_uid, found.state) == ("1.2.3.1", SCHEDULED)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Query(), {"1.2.3.1", "1.2.3.2", "1.2.3.3"}),
        (Query(patient_id="PID'1"), {"1.2.3.1", "1.2.3.3"}),
        (Query(accession_number="A2"), {"1.2.3.2"}),
        (Query(modality="MR"), {"1.2.3.3"}),
        (Query(station="CT_ROOM 1", start="20261123"), {"1.2.3.2"}),
        (Query(start="20261122", end="20261122"), {"1.2.3.1", "1.2.3.3"}),
        (Query(start="20261122120000", end="20261123"), {"1.2.3.2", "1.2.3.3"}),
        (Query(state=IN_PROGRESS), {"1.2.3.2"}),
        (Query(state=SCHEDULED, patient_id="PID'1", modality="CT"), {"1.2.3.1"}),
    ],
)
def test_search_filters_exactly(worklist: Worklist, query: Query, expected: set[str]) -> None:
    # GIVEN three workitems
    worklist.create(workitem())
    second = worklist.create(
        workitem(2, PatientID="P2", AccessionNumber="A2", ScheduledProcedureStepStartDate="20261123")
    )
    worklist.create(workitem(3, Modality="MR", ScheduledProcedureStepStartTime="153000.5"))
    worklist.change_state(second, IN_PROGRESS)
    # WHEN they are searched THEN just those that match are found
    found = worklist.search(query, limit=10)
    assert {each.study_instance_uid for each in found.items} == expected
    assert found.cursor is None


def test_pages_join_without_gap_or_repetition(worklist: Worklist) -> None:
    # GIVEN seven workitems of a patient among others
    for number in range(7):
        worklist.create(workitem(number))
        worklist.create(workitem(100 + number, PatientID="other"))
    # WHEN they are read three at a time
    pages, cursor = [], None
    while True:
        page = worklist.search(Query(patient_id="PID'1"), limit=3, cursor=cursor)
        pages.append([each.study_instance_uid for each in page.items])
        cursor = page.cursor
        if cursor is None:
            break
    # THEN each comes once
    assert sorted(study for page in pages for study in page) == [f"1.2.3.{number}" for number in range(7)]
    assert all(len(page) <= 3 for page in pages)


def test_update_changes_and_removes_fields(worklist: Worklist) -> None:
    made = worklist.create(workitem())
    changed = worklist.update(made, {"ScheduledProcedureStepStartDate": "20270101", "PregnancyStatus": ""})
    found = worklist.retrieve(changed.key)
    assert found.fields["ScheduledProcedureStepStartDate"] == "20270101"
    assert "PregnancyStatus" not in found.fields
    assert found.fields["AccessionNumber"] == "A^1"


@pytest.mark.parametrize("final", [COMPLETED, CANCELED])
def test_a_step_in_progress_can_be_ended(worklist: Worklist, final: str) -> None:
    # GIVEN a step in progress
    made = worklist.create(workitem())
    started = replace(worklist.change_state(made, IN_PROGRESS), state=IN_PROGRESS)
    assert worklist.retrieve(started.key).state == IN_PROGRESS
    # WHEN it is ended
    worklist.change_state(started, final)
    # THEN the PACS says so, or no longer shows it
    if worklist.keeps_finished:
        assert worklist.retrieve(started.key).state == final
    else:
        with pytest.raises(NotFound):
            worklist.retrieve(started.key)


def test_a_scheduled_step_can_be_canceled(worklist: Worklist) -> None:
    made = worklist.create(workitem())
    worklist.change_state(made, CANCELED)
    assert worklist.search(Query(state=SCHEDULED), limit=10).items == []


def test_delete_takes_it_off_the_list_and_is_harmless_twice(worklist: Worklist) -> None:
    made = worklist.create(workitem())
    worklist.delete(made)
    worklist.delete(made)
    assert worklist.search(Query(state=SCHEDULED), limit=10).items == []


def test_what_is_not_there_is_not_found(worklist: Worklist) -> None:
    absent = replace(workitem(9), reference="00000000-absent")
    with pytest.raises(NotFound):
        worklist.retrieve(absent.key)
    with pytest.raises(NotFound):
        worklist.update(absent, {"AdmissionID": "1"})
    with pytest.raises(NotFound):
        worklist.change_state(absent, IN_PROGRESS)


def test_a_workitem_known_by_its_study_alone_is_found(kind: str, worklist: Worklist) -> None:
    worklist.create(workitem())
    only_study = WorkitemKey("1.2.3.1")
    if kind == "ups-rs-azure":
        with pytest.raises(NotFound):
            worklist.retrieve(only_study)
    else:
        assert worklist.retrieve(only_study).fields["AccessionNumber"] == "A^1"


def test_a_web_page_is_no_empty_list(worklist: Worklist, server: Server) -> None:
    server.faults.append(("GET", "", "before", html()))
    with pytest.raises(PacsFault):
        worklist.search(Query(), limit=10)


def test_a_lost_answer_is_not_sent_again(worklist: Worklist, server: Server) -> None:
    server.faults.append(("POST", "", "after", reset))
    with pytest.raises(PacsUnreachable):
        worklist.create(workitem())
    assert [method for method, _ in server.requests].count("POST") == 1


class TestUps:
    @pytest.fixture(params=[name for name in MAKERS if name.startswith("ups-rs")])
    def kind(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_a_uid_that_is_taken_is_a_duplicate(self, worklist: Worklist) -> None:
        worklist.create(workitem())
        with pytest.raises(RequestRejected) as rejected:
            worklist.create(workitem())
        assert (rejected.value.status, rejected.value.reason) == (409, "DUPLICATE")

    def test_the_wrong_key_opens_nothing(self, worklist: Worklist) -> None:
        # GIVEN a step that another client owns
        made = worklist.create(workitem())
        worklist.change_state(made, IN_PROGRESS)
        thief = replace(made, state=IN_PROGRESS, transaction_uid="1.2.9.9")
        # WHEN someone else tries to end it THEN it is rejected
        with pytest.raises(RequestRejected):
            worklist.change_state(thief, COMPLETED)
        with pytest.raises(RequestRejected):
            worklist.change_state(replace(thief, transaction_uid=None), COMPLETED)
        assert worklist.retrieve(made.key).state == IN_PROGRESS

    def test_a_step_in_progress_is_not_deleted(self, worklist: Worklist) -> None:
        made = worklist.create(workitem())
        worklist.change_state(made, IN_PROGRESS)
        with pytest.raises(RequestRejected) as rejected:
            worklist.delete(replace(made, state=IN_PROGRESS))
        assert rejected.value.reason == "IN_PROGRESS"

    def test_the_key_is_never_returned(self, worklist: Worklist, server: Server) -> None:
        made = worklist.create(workitem())
        worklist.change_state(made, IN_PROGRESS)
        assert worklist.retrieve(made.key).transaction_uid is None
        assert isinstance(server, UpsServer)
        assert "00081195" not in server.steps[made.workitem_uid]

    def test_an_unknown_dialect_is_rejected(self) -> None:
        with pytest.raises(ValueError, match="dialect"):
            UpsRs(Rest("http://127.0.0.1", Transport()), dialect="esperanto")


class TestMwl:
    @pytest.fixture
    def kind(self) -> str:
        return "mwl-rs"

    def test_a_missing_patient_is_made_once(self, worklist: Worklist, server: Server) -> None:
        worklist.create(workitem(1))
        worklist.create(workitem(2))
        assert isinstance(server, MwlServer)
        assert value(server.patients["PID'1"], "00100010") == {
            "Alphabetic": 'O\'Brien^Mary "M"',
            "Ideographic": "山田^花子",
            "Phonetic": "やまだ^はなこ",
        }
        assert server.requests.count(("POST", "/patients")) == 1

    def test_a_patient_that_cannot_be_made_is_an_error(self, worklist: Worklist, server: Server) -> None:
        server.faults.append(("POST", "/patients", "before", nothing(500)))
        with pytest.raises(PacsFault):
            worklist.create(workitem())
