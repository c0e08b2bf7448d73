"""One contract, four backends: what the API does with workitems is the same whatever keeps them."""

from __future__ import annotations

from typing import Any

import pytest

from dicom_service.errors import BadRequest, Conflict, NotFound
from dicomweb.worklist.base import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED, Query, Workitem
from tests.support.worklist import BODY, STORED, Bench, body, studies
from tests.support.worklist_pacs import MAKERS


def test_every_field_survives(bench: Bench) -> None:
    # GIVEN a workitem with every field, in several scripts
    made = bench.service.create(BODY)
    # WHEN it is read alone and in a list
    alone = bench.service.get("1.2.3.1")
    [listed] = bench.service.search(Query(patient_id="PID'1"), limit=10).items
    # THEN both hold all of it
    expected = {**STORED, "ScheduledProcedureStepID": made.fields["ScheduledProcedureStepID"]}
    assert dict(alone.fields) == expected
    assert dict(listed.fields) == expected
    assert alone.workitem_uid == listed.workitem_uid == made.workitem_uid
    assert (alone.state, listed.state) == (SCHEDULED, SCHEDULED)
    assert bench.events() == [("Workitem Created", "1.2.3.1")]


def test_uids_and_the_id_of_the_step_are_made_when_absent(bench: Bench) -> None:
    given = body()
    del given["StudyInstanceUID"]
    made = bench.service.create(given)
    assert made.study_instance_uid.startswith("2.25.")
    assert made.workitem_uid.startswith("2.25.")
    assert made.study_instance_uid != made.workitem_uid
    assert 0 < len(made.fields["ScheduledProcedureStepID"]) <= 16
    assert bench.service.get(made.study_instance_uid).state == SCHEDULED


def test_a_second_workitem_of_a_study_is_refused(bench: Bench) -> None:
    bench.service.create(body())
    with pytest.raises(Conflict) as refused:
        bench.service.create(body(AccessionNumber="A2"))
    assert refused.value.code == "DUPLICATE_WORKITEM"
    # AND the first one is as it was
    assert bench.service.get("1.2.3.1").fields["AccessionNumber"] == "A^1"
    assert bench.told() == ["Created"]


def test_filters(bench: Bench) -> None:
    # GIVEN workitems that differ in one thing each
    bench.service.create(body(1))
    bench.service.create(body(2, PatientID="P2", AccessionNumber="A2"))
    bench.service.create(body(3, Modality="MR", ScheduledStationAETitle="MR1"))
    bench.service.create(body(4, ScheduledProcedureStepStartDate="20261123"))
    bench.service.create(body(5, ScheduledProcedureStepStartDate="20261124"))
    bench.service.change_state("1.2.3.5", {"State": IN_PROGRESS})
    # WHEN they are listed with every filter THEN just those that match come
    everything = {f"1.2.3.{number}" for number in range(1, 6)}
    assert studies(bench) == everything
    assert studies(bench, Query(patient_id="P2")) == {"1.2.3.2"}
    assert studies(bench, Query(patient_id="none")) == set()
    assert studies(bench, Query(accession_number="A2")) == {"1.2.3.2"}
    assert studies(bench, Query(modality="MR")) == {"1.2.3.3"}
    assert studies(bench, Query(station="CT1")) == everything - {"1.2.3.3"}
    assert studies(bench, Query(station="CT1", start="20261123", end="20261123")) == {"1.2.3.4"}
    assert studies(bench, Query(start="20261123")) == {"1.2.3.4", "1.2.3.5"}
    assert studies(bench, Query(end="20261122")) == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}
    assert studies(bench, Query(state=SCHEDULED)) == everything - {"1.2.3.5"}
    assert studies(bench, Query(state=IN_PROGRESS, modality="CT")) == {"1.2.3.5"}
    assert studies(bench, Query(state=COMPLETED)) == set()
    assert studies(bench, Query(patient_id="PID'1", accession_number="A2")) == set()


def test_what_has_ended_stays_on_the_list(bench: Bench) -> None:
    for number in range(1, 6):
        bench.service.create(body(number))
    bench.service.change_state("1.2.3.1", {"State": IN_PROGRESS})
    bench.service.change_state("1.2.3.1", {"State": COMPLETED})
    bench.service.change_state("1.2.3.2", {"State": CANCELED})
    assert bench.service.get("1.2.3.1").state == COMPLETED
    assert bench.service.get("1.2.3.2").state == CANCELED
    assert dict(bench.service.get("1.2.3.2").fields)["PatientName"] == BODY["PatientName"]
    assert studies(bench) == {f"1.2.3.{number}" for number in range(1, 6)}
    assert studies(bench, Query(state=COMPLETED)) == {"1.2.3.1"}
    assert studies(bench, Query(state=CANCELED, patient_id="PID'1")) == {"1.2.3.2"}
    assert bench.told() == ["Canceled", "Completed", *["Created"] * 5, "Updated"]


def test_reschedule(bench: Bench) -> None:
    bench.service.create(body())
    changes = {"ScheduledProcedureStepStartDate": "2027-01-02", "AdmissionID": None, "PatientName": "NEW^NAME"}
    changed = bench.service.update("1.2.3.1", changes)
    for item in (changed, bench.service.get("1.2.3.1")):
        assert item.fields["ScheduledProcedureStepStartDate"] == "20270102"
        assert "AdmissionID" not in item.fields
        assert item.fields["PatientName"] == "NEW^NAME"
        assert item.fields["ScheduledStationName"] == "Room 5"
    assert studies(bench, Query(start="20270102", end="20270102")) == {"1.2.3.1"}
    assert studies(bench, Query(start="20261122", end="20261122")) == set()
    assert bench.told() == ["Created", "Updated"]


_LEGAL = {(SCHEDULED, IN_PROGRESS), (SCHEDULED, CANCELED), (IN_PROGRESS, COMPLETED), (IN_PROGRESS, CANCELED)}
_HARMLESS = {(COMPLETED, COMPLETED), (CANCELED, CANCELED)}
_WAY = {SCHEDULED: (), IN_PROGRESS: (IN_PROGRESS,), COMPLETED: (IN_PROGRESS, COMPLETED), CANCELED: (CANCELED,)}


@pytest.mark.parametrize("state", _WAY)
@pytest.mark.parametrize("target", _WAY)
def test_the_state_machine(bench: Bench, state: str, target: str) -> None:
    # GIVEN a workitem in some state
    bench.service.create(body())
    for step in _WAY[state]:
        bench.service.change_state("1.2.3.1", {"State": step})
    before = bench.told()
    # WHEN another state is asked for THEN PS3.4 CC.1.1 decides
    if (state, target) in _LEGAL | _HARMLESS:
        bench.service.change_state("1.2.3.1", {"State": target})
        assert bench.service.get("1.2.3.1").state == target
    else:
        with pytest.raises(Conflict) as refused:
            bench.service.change_state("1.2.3.1", {"State": target})
        assert refused.value.code == "ILLEGAL_TRANSITION"
        assert bench.service.get("1.2.3.1").state == state
    assert len(bench.told()) == len(before) + ((state, target) in _LEGAL)


@pytest.mark.parametrize(
    "wrong", [{}, {"State": "DONE"}, {"State": None}, {"State": ["COMPLETED"]}, {"state": "CANCELED"}]
)
def test_a_body_without_a_state_is_refused(bench: Bench, wrong: dict[str, Any]) -> None:
    bench.service.create(body())
    with pytest.raises(BadRequest):
        bench.service.change_state("1.2.3.1", wrong)


@pytest.mark.parametrize("state", [IN_PROGRESS, COMPLETED, CANCELED])
def test_only_what_is_scheduled_can_be_changed(bench: Bench, state: str) -> None:
    bench.service.create(body())
    for step in _WAY[state]:
        bench.service.change_state("1.2.3.1", {"State": step})
    with pytest.raises(Conflict) as refused:
        bench.service.update("1.2.3.1", {"AdmissionID": "2"})
    assert refused.value.code == "NOT_SCHEDULED"


@pytest.mark.parametrize("state", [SCHEDULED, COMPLETED, CANCELED])
def test_delete_and_create_anew(bench: Bench, state: str) -> None:
    # GIVEN a workitem that is not being worked on, beside another
    bench.service.create(body())
    bench.service.create(body(2))
    for step in _WAY[state]:
        bench.service.change_state("1.2.3.1", {"State": step})
    # WHEN it is deleted THEN it is gone
    bench.service.delete("1.2.3.1")
    for gone in (
        lambda: bench.service.get("1.2.3.1"),
        lambda: bench.service.delete("1.2.3.1"),
        lambda: bench.service.update("1.2.3.1", {"AdmissionID": "2"}),
        lambda: bench.service.change_state("1.2.3.1", {"State": CANCELED}),
    ):
        with pytest.raises(NotFound):
            gone()
    assert studies(bench) == {"1.2.3.2"}
    assert bench.told().count("Deleted") == 1
    # AND the study can have a new one, twice over
    for accession in ("NEW1", "NEW2"):
        bench.service.create(body(AccessionNumber=accession))
        assert bench.service.get("1.2.3.1").fields["AccessionNumber"] == accession
        assert bench.service.get("1.2.3.1").state == SCHEDULED
        assert studies(bench) == {"1.2.3.1", "1.2.3.2"}
        bench.service.delete("1.2.3.1")


def test_what_is_in_progress_is_not_deleted(bench: Bench) -> None:
    bench.service.create(body())
    bench.service.change_state("1.2.3.1", {"State": IN_PROGRESS})
    with pytest.raises(Conflict) as refused:
        bench.service.delete("1.2.3.1")
    assert refused.value.code == "IN_PROGRESS"
    assert bench.service.get("1.2.3.1").state == IN_PROGRESS


def test_what_never_was_is_not_found(bench: Bench) -> None:
    with pytest.raises(NotFound):
        bench.service.get("1.2.3.9")
    with pytest.raises(NotFound):
        bench.service.delete("1.2.3.9")


class TestReconciliation:
    @pytest.mark.parametrize("state", [SCHEDULED, IN_PROGRESS])
    def test_by_study(self, bench: Bench, state: str) -> None:
        bench.service.create(body())
        bench.service.create(body(2))
        for step in _WAY[state]:
            bench.service.change_state("1.2.3.1", {"State": step})
        # WHEN its exam arrives, twice
        assert bench.reconciler.complete_for_exam("1.2.3.1", "", "") is not None
        assert bench.reconciler.complete_for_exam("1.2.3.1", "A^1", "PID'1") is None
        # THEN it is complete, and was told to be so once
        assert bench.service.get("1.2.3.1").state == COMPLETED
        assert bench.service.get("1.2.3.2").state == SCHEDULED
        assert bench.told().count("Completed") == 1

    def test_by_order(self, bench: Bench) -> None:
        # GIVEN an exam whose modality made a study of its own
        bench.service.create(body())
        bench.service.create(body(2, PatientID="P2"))
        assert bench.reconciler.complete_for_exam("1.9.9", "A^1", "other") is None
        assert bench.reconciler.complete_for_exam("1.9.9", "A^1", "") is None
        assert bench.reconciler.complete_for_exam("1.9.9", "", "PID'1") is None
        # WHEN accession number and patient are those of one workitem THEN it is complete
        done = bench.reconciler.complete_for_exam("1.9.9", "A^1", "PID'1")
        assert done is not None and done.study_instance_uid == "1.2.3.1"
        assert bench.service.get("1.2.3.1").state == COMPLETED
        assert bench.service.get("1.2.3.2").state == SCHEDULED

    def test_not_the_wrong_one_of_several(self, bench: Bench) -> None:
        bench.service.create(body(1))
        bench.service.create(body(2))
        assert bench.reconciler.complete_for_exam("1.9.9", "A^1", "PID'1") is None
        bench.service.change_state("1.2.3.2", {"State": CANCELED})
        assert bench.reconciler.complete_for_exam("1.9.9", "A^1", "PID'1") is not None

    @pytest.mark.parametrize("kind", MAKERS)
    def test_by_order_of_a_workitem_that_another_client_made(self, bench: Bench) -> None:
        # GIVEN a workitem that only the PACS knows, and an exam of its order, whose study is another
        assert bench.at_pacs is not None
        bench.at_pacs.create(Workitem("1.2.3.1", "1.2.4.1", {**STORED, "ScheduledProcedureStepID": "SPS1"}))
        # WHEN the exam arrives THEN the workitem is complete, also at a PACS that cannot search by study
        done = bench.reconciler.complete_for_exam("1.9.9", "A^1", "PID'1")
        assert done is not None and done.study_instance_uid == "1.2.3.1"
        assert bench.told() == ["Completed", "Updated"]

    def test_a_canceled_one_stays_canceled(self, bench: Bench) -> None:
        bench.service.create(body())
        bench.service.change_state("1.2.3.1", {"State": CANCELED})
        assert bench.reconciler.complete_for_exam("1.2.3.1", "A^1", "PID'1") is None
        assert bench.service.get("1.2.3.1").state == CANCELED


def test_a_cursor_of_somebody_else_is_refused(bench: Bench) -> None:
    with pytest.raises(BadRequest):
        bench.service.search(Query(), limit=1, cursor="'; DROP")
