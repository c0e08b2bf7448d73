"""One contract, four backends: what the API does with workitems is the same whatever keeps them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dicom_service.errors import BadRequest, Conflict, NotFound
from dicomweb.worklist.base import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED, Query, Workitem
from tests.support.worklist import BODY, STORED, Harness, body, studies
from tests.support.worklist_pacs import MAKERS


def test_every_field_survives(harness: Harness) -> None:
    # GIVEN a workitem with every field, in several scripts
    made = harness.service.create(BODY)
    # WHEN it is read alone and in a list
    alone = harness.service.get("1.2.3.1")
    [listed] = harness.service.search(Query(patient_id="PID'1"), limit=10).items
    # THEN both hold all of it
    expected = {**STORED, "ScheduledProcedureStepID": made.fields["ScheduledProcedureStepID"]}
    assert dict(alone.fields) == expected
    assert dict(listed.fields) == expected
    assert alone.workitem_uid == listed.workitem_uid == made.workitem_uid
    assert (alone.state, listed.state) == (SCHEDULED, SCHEDULED)
    assert harness.events() == [("Workitem Created", "1.2.3.1")]


def test_uids_and_the_id_of_the_step_are_made_when_absent(harness: Harness) -> None:
    given = body()
    del given["StudyInstanceUID"]
    made = harness.service.create(given)
    assert made.study_instance_uid.startswith("2.25.")
    assert made.workitem_uid.startswith("2.25.")
    assert made.study_instance_uid != made.workitem_uid
    assert 0 < len(made.fields["ScheduledProcedureStepID"]) <= 16
    assert harness.service.get(made.study_instance_uid).state == SCHEDULED


def test_a_second_workitem_of_a_study_is_rejected(harness: Harness) -> None:
    harness.service.create(body())
    with pytest.raises(Conflict) as rejected:
        harness.service.create(body(AccessionNumber="A2"))
    assert rejected.value.code == "DUPLICATE_WORKITEM"
    # AND the first one is as it was
    assert harness.service.get("1.2.3.1").fields["AccessionNumber"] == "A^1"
    assert harness.published() == ["Created"]


def test_filters(harness: Harness) -> None:
    # GIVEN workitems that differ in one thing each
    harness.service.create(body(1))
    harness.service.create(body(2, PatientID="P2", AccessionNumber="A2"))
    harness.service.create(body(3, Modality="MR", ScheduledStationAETitle="MR1"))
    harness.service.create(body(4, ScheduledProcedureStepStartDate="20261123"))
    harness.service.create(body(5, ScheduledProcedureStepStartDate="20261124"))
    harness.service.change_state("1.2.3.5", {"State": IN_PROGRESS})
    # WHEN they are listed with every filter THEN just those that match come
    everything = {f"1.2.3.{number}" for number in range(1, 6)}
    assert studies(harness) == everything
    assert studies(harness, Query(patient_id="P2")) == {"1.2.3.2"}
    assert studies(harness, Query(patient_id="none")) == set()
    assert studies(harness, Query(accession_number="A2")) == {"1.2.3.2"}
    assert studies(harness, Query(modality="MR")) == {"1.2.3.3"}
    assert studies(harness, Query(station="CT1")) == everything - {"1.2.3.3"}
    assert studies(harness, Query(station="CT1", start="20261123", end="20261123")) == {"1.2.3.4"}
    assert studies(harness, Query(start="20261123")) == {"1.2.3.4", "1.2.3.5"}
    assert studies(harness, Query(end="20261122")) == {"1.2.3.1", "1.2.3.2", "1.2.3.3"}
    assert studies(harness, Query(state=SCHEDULED)) == everything - {"1.2.3.5"}
    assert studies(harness, Query(state=IN_PROGRESS, modality="CT")) == {"1.2.3.5"}
    assert studies(harness, Query(state=COMPLETED)) == set()
    assert studies(harness, Query(patient_id="PID'1", accession_number="A2")) == set()


def test_what_has_ended_stays_on_the_list(harness: Harness) -> None:
    for number in range(1, 6):
        harness.service.create(body(number))
    harness.service.change_state("1.2.3.1", {"State": IN_PROGRESS})
    harness.service.change_state("1.2.3.1", {"State": COMPLETED})
    harness.service.change_state("1.2.3.2", {"State": CANCELED})
    assert harness.service.get("1.2.3.1").state == COMPLETED
    assert harness.service.get("1.2.3.2").state == CANCELED
    assert dict(harness.service.get("1.2.3.2").fields)["PatientName"] == BODY["PatientName"]
    assert studies(harness) == {f"1.2.3.{number}" for number in range(1, 6)}
    assert studies(harness, Query(state=COMPLETED)) == {"1.2.3.1"}
    assert studies(harness, Query(state=CANCELED, patient_id="PID'1")) == {"1.2.3.2"}
    assert harness.published() == ["Canceled", "Completed", *["Created"] * 5, "Updated"]


def test_reschedule(harness: Harness) -> None:
    harness.service.create(body())
    changes = {"ScheduledProcedureStepStartDate": "2027-01-02", "AdmissionID": None, "PatientName": "NEW^NAME"}
    changed = harness.service.update("1.2.3.1", changes)
    for item in (changed, harness.service.get("1.2.3.1")):
        assert item.fields["ScheduledProcedureStepStartDate"] == "20270102"
        assert "AdmissionID" not in item.fields
        assert item.fields["PatientName"] == "NEW^NAME"
        assert item.fields["ScheduledStationName"] == "Room 5"
    assert studies(harness, Query(start="20270102", end="20270102")) == {"1.2.3.1"}
    assert studies(harness, Query(start="20261122", end="20261122")) == set()
    assert harness.published() == ["Created", "Updated"]


_LEGAL = {(SCHEDULED, IN_PROGRESS), (SCHEDULED, CANCELED), (IN_PROGRESS, COMPLETED), (IN_PROGRESS, CANCELED)}
_HARMLESS = {(COMPLETED, COMPLETED), (CANCELED, CANCELED)}
_WAY = {SCHEDULED: (), IN_PROGRESS: (IN_PROGRESS,), COMPLETED: (IN_PROGRESS, COMPLETED), CANCELED: (CANCELED,)}


@pytest.mark.parametrize("state", _WAY)
@pytest.mark.parametrize("target", _WAY)
def test_the_state_machine(harness: Harness, state: str, target: str) -> None:
    # GIVEN a workitem in some state
    harness.service.create(body())
    for step in _WAY[state]:
        harness.service.change_state("1.2.3.1", {"State": step})
    before = harness.published()
    # WHEN another state is asked for THEN PS3.4 CC.1.1 decides
    if (state, target) in _LEGAL | _HARMLESS:
        harness.service.change_state("1.2.3.1", {"State": target})
        assert harness.service.get("1.2.3.1").state == target
    else:
        with pytest.raises(Conflict) as rejected:
            harness.service.change_state("1.2.3.1", {"State": target})
        assert rejected.value.code == "ILLEGAL_TRANSITION"
        assert harness.service.get("1.2.3.1").state == state
    assert len(harness.published()) == len(before) + ((state, target) in _LEGAL)


@pytest.mark.parametrize(
    "wrong", [{}, {"State": "DONE"}, {"State": None}, {"State": ["COMPLETED"]}, {"state": "CANCELED"}]
)
def test_a_body_without_a_state_is_rejected(harness: Harness, wrong: dict[str, Any]) -> None:
    harness.service.create(body())
    with pytest.raises(BadRequest):
        harness.service.change_state("1.2.3.1", wrong)


@pytest.mark.parametrize("state", [IN_PROGRESS, COMPLETED, CANCELED])
def test_only_what_is_scheduled_can_be_changed(harness: Harness, state: str) -> None:
    harness.service.create(body())
    for step in _WAY[state]:
        harness.service.change_state("1.2.3.1", {"State": step})
    with pytest.raises(Conflict) as rejected:
        harness.service.update("1.2.3.1", {"AdmissionID": "2"})
    assert rejected.value.code == "NOT_SCHEDULED"


@pytest.mark.parametrize("state", [SCHEDULED, COMPLETED, CANCELED])
def test_delete_and_create_anew(harness: Harness, state: str) -> None:
    # GIVEN a workitem that is not being worked on, beside another
    harness.service.create(body())
    harness.service.create(body(2))
    for step in _WAY[state]:
        harness.service.change_state("1.2.3.1", {"State": step})
    # WHEN it is deleted THEN it is gone
    harness.service.delete("1.2.3.1")
    calls: tuple[Callable[[], Any], ...] = (
        lambda: harness.service.get("1.2.3.1"),
        lambda: harness.service.delete("1.2.3.1"),
        lambda: harness.service.update("1.2.3.1", {"AdmissionID": "2"}),
        lambda: harness.service.change_state("1.2.3.1", {"State": CANCELED}),
    )
    for gone in calls:
        with pytest.raises(NotFound):
            gone()
    assert studies(harness) == {"1.2.3.2"}
    assert harness.published().count("Deleted") == 1
    # AND the study can have a new one, twice over
    for accession in ("NEW1", "NEW2"):
        harness.service.create(body(AccessionNumber=accession))
        assert harness.service.get("1.2.3.1").fields["AccessionNumber"] == accession
        assert harness.service.get("1.2.3.1").state == SCHEDULED
        assert studies(harness) == {"1.2.3.1", "1.2.3.2"}
        harness.service.delete("1.2.3.1")


def test_what_is_in_progress_is_not_deleted(harness: Harness) -> None:
    harness.service.create(body())
    harness.service.change_state("1.2.3.1", {"State": IN_PROGRESS})
    with pytest.raises(Conflict) as rejected:
        harness.service.delete("1.2.3.1")
    assert rejected.value.code == "IN_PROGRESS"
    assert harness.service.get("1.2.3.1").state == IN_PROGRESS


def test_what_never_was_is_not_found(harness: Harness) -> None:
    with pytest.raises(NotFound):
        harness.service.get("1.2.3.9")
    with pytest.raises(NotFound):
        harness.service.delete("1.2.3.9")


class TestReconciliation:
    @pytest.mark.parametrize("state", [SCHEDULED, IN_PROGRESS])
    def test_by_study(self, harness: Harness, state: str) -> None:
        harness.service.create(body())
        harness.service.create(body(2))
        for step in _WAY[state]:
            harness.service.change_state("1.2.3.1", {"State": step})
        # WHEN its exam arrives, twice
        assert harness.reconciler.complete_for_exam("1.2.3.1", "", "") is not None
        assert harness.reconciler.complete_for_exam("1.2.3.1", "A^1", "PID'1") is None
        # THEN it is complete, and its event was published once
        assert harness.service.get("1.2.3.1").state == COMPLETED
        assert harness.service.get("1.2.3.2").state == SCHEDULED
        assert harness.published().count("Completed") == 1

    def test_by_order(self, harness: Harness) -> None:
        # GIVEN an exam whose modality made a study of its own
        harness.service.create(body())
        harness.service.create(body(2, PatientID="P2"))
        assert harness.reconciler.complete_for_exam("1.9.9", "A^1", "other") is None
        assert harness.reconciler.complete_for_exam("1.9.9", "A^1", "") is None
        assert harness.reconciler.complete_for_exam("1.9.9", "", "PID'1") is None
        # WHEN accession number and patient are those of one workitem THEN it is complete
        done = harness.reconciler.complete_for_exam("1.9.9", "A^1", "PID'1")
        assert done is not None and done.study_instance_uid == "1.2.3.1"
        assert harness.service.get("1.2.3.1").state == COMPLETED
        assert harness.service.get("1.2.3.2").state == SCHEDULED

    def test_not_the_wrong_one_of_several(self, harness: Harness) -> None:
        harness.service.create(body(1))
        harness.service.create(body(2))
        assert harness.reconciler.complete_for_exam("1.9.9", "A^1", "PID'1") is None
        harness.service.change_state("1.2.3.2", {"State": CANCELED})
        assert harness.reconciler.complete_for_exam("1.9.9", "A^1", "PID'1") is not None

    @pytest.mark.parametrize("kind", MAKERS)
    def test_by_order_of_a_workitem_that_another_client_made(self, harness: Harness) -> None:
        # GIVEN a workitem that only the PACS knows, and an exam of its order, whose study is another
        assert harness.at_pacs is not None
        harness.at_pacs.create(Workitem("1.2.3.1", "1.2.4.1", {**STORED, "ScheduledProcedureStepID": "SPS1"}))
        # WHEN the exam arrives THEN the workitem is complete, also at a PACS that cannot search by study
        done = harness.reconciler.complete_for_exam("1.9.9", "A^1", "PID'1")
        assert done is not None and done.study_instance_uid == "1.2.3.1"
        assert harness.published() == ["Completed", "Updated"]

    def test_a_canceled_one_stays_canceled(self, harness: Harness) -> None:
        harness.service.create(body())
        harness.service.change_state("1.2.3.1", {"State": CANCELED})
        assert harness.reconciler.complete_for_exam("1.2.3.1", "A^1", "PID'1") is None
        assert harness.service.get("1.2.3.1").state == CANCELED


def test_a_cursor_that_was_never_returned_is_rejected(harness: Harness) -> None:
    with pytest.raises(BadRequest):
        harness.service.search(Query(), limit=1, cursor="'; DROP")
