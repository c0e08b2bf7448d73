"""The registry of exams: each instance counted once, whatever is repeated or fails."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.errors import Unavailable
from dicom_service.exams.completeness_checks import Check
from dicom_service.exams.registry import Arrived, ExamRegistry, ExamSettings
from tests.support.aws_faults import AwsFaults
from tests.support.notifications import drain

STUDY = "1.2.3"


def arrived(*numbers: int, study: str = STUDY, modality: str = "CT") -> list[Arrived]:
    return [
        Arrived(study, f"{study}.1", f"{study}.1.{n}", "1.2.840.10008.5.1.4.1.1.2", modality, "P1", "A1")
        for n in numbers
    ]


def registry(settings: ExamSettings) -> ExamRegistry:
    return ExamRegistry(settings)


def checks(settings: ExamSettings) -> list[Check]:
    return [Check.from_message(json.loads(message["Body"])) for message in drain(settings.checks_queue_url)]


def test_instances_are_counted_once_however_often_they_are_delivered(exam_settings: ExamSettings) -> None:
    # GIVEN three instances, one of them twice in a call
    first = registry(exam_settings).record([*arrived(1, 2), *arrived(2)], source="upload", session=None)
    # WHEN they are delivered again together with a new one
    second = registry(exam_settings).record(arrived(1, 2, 3), source="drop", session=None)
    third = registry(exam_settings).record(arrived(1, 2, 3), source="drop", session=None)
    # THEN each counts once
    study = registry(exam_settings).study(STUDY)
    assert (first, second, third) == (2, 1, 0)
    assert study is not None
    assert (study["instances"], study["PatientID"]) == (3, "P1")
    assert study["lastSource"] == "drop"


def test_more_instances_than_a_transaction_takes(exam_settings: ExamSettings) -> None:
    # GIVEN 250 instances of one exam, some known
    registry(exam_settings).record(arrived(*range(100, 110)), source="upload", session="s")
    # WHEN all are recorded
    new = registry(exam_settings).record(arrived(*range(250)), source="upload", session="s")
    # THEN the rest is new and the sum exact
    study = registry(exam_settings).study(STUDY)
    assert new == 240
    assert study is not None
    assert study["instances"] == 250


def test_loose_files_leave_one_check_for_each_exam(exam_settings: ExamSettings) -> None:
    # WHEN instances of two exams arrive without a session
    registry(exam_settings).record([*arrived(1, 2), *arrived(1, study="1.2.4")], source="drop", session=None)
    # THEN each exam has one check, with the time of the arrival, and the study item has the same time
    left = {check.study_instance_uid: check for check in checks(exam_settings)}
    study = registry(exam_settings).study(STUDY)
    assert set(left) == {"1.2.3", "1.2.4"}
    assert study is not None
    assert left[STUDY].arrived_at == study["lastArrivedAt"]
    assert "openSessions" not in study


def test_a_check_is_left_even_when_the_write_fails(
    exam_settings: ExamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GIVEN an unavailable table (the function could as well have been killed here)
    def fail(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "InternalServerError"}}, "TransactWriteItems")

    monkeypatch.setattr(aws.dynamodb(), "transact_write_items", fail)
    # WHEN an instance is recorded
    with pytest.raises(Unavailable):
        registry(exam_settings).record(arrived(1), source="upload", session=None)
    # THEN nothing is registered, but the check is there
    assert [check.study_instance_uid for check in checks(exam_settings)] == [STUDY]
    assert registry(exam_settings).study(STUDY) is None


def test_writers_that_meet_try_again(exam_settings: ExamSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a table that first reports a conflict with another writer
    real, conflicts = aws.dynamodb().transact_write_items, [1, 2]

    def conflict(**arguments: Any) -> Any:
        if conflicts:
            conflicts.pop()
            reasons: Any = [{"Code": "None"}, {"Code": "TransactionConflict"}]
            raise ClientError(
                {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons},
                "TransactWriteItems",
            )
        return real(**arguments)

    monkeypatch.setattr(aws.dynamodb(), "transact_write_items", conflict)
    # WHEN an instance is recorded THEN it is, once
    assert registry(exam_settings).record(arrived(1), source="upload", session=None) == 1
    assert not conflicts


def test_a_session_ends_while_other_instances_of_its_study_arrive(
    exam_settings: ExamSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    exams = registry(exam_settings)
    sessions = [f"{number}" for number in range(20)]
    for number, session in enumerate(sessions):
        exams.record(arrived(number), source="upload", session=session)
    with AwsFaults(monkeypatch, share=0.3, kinds=("conflict",)) as faults:
        for session in sessions:
            exams.complete_session(session, [STUDY])
    assert faults.met["conflict"]
    study = exams.study(STUDY)
    assert study is not None
    assert "openSessions" not in study


def test_a_session_is_open_until_it_is_completed(exam_settings: ExamSettings) -> None:
    # GIVEN an exam that two uploads bring
    exams = registry(exam_settings)
    exams.record(arrived(1), source="upload", session="a")
    exams.record(arrived(2), source="upload", session="b")
    # WHEN one of them completes, twice
    exams.complete_session("a", [STUDY])
    exams.complete_session("a", [STUDY, "9.9.9"])
    # THEN the other is still open, a check is left for each, and unknown exams make no item
    study = exams.study(STUDY)
    assert study is not None
    assert study["openSessions"] == {"b"}
    assert [c.study_instance_uid for c in checks(exam_settings) if c.reason == "session"] == [STUDY, STUDY, "9.9.9"]
    assert exams.study("9.9.9") is None
