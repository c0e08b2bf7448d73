"""Fields of a workitem: every value representation, all errors at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_service.errors import BadRequest
from dicom_service.worklist.validation import check_changes, check_new
from dicomweb.worklist.attributes import ATTRIBUTES
from dicomweb.worklist.base import Workitem
from dicomweb.worklist.dicom_json import from_mwl, to_mwl, to_simple

COMPLETE: dict[str, Any] = {
    "PatientID": "PID1",
    "PatientName": "ROSSI^MARIO",
    "ScheduledStationAETitle": "CT1",
    "ScheduledProcedureStepDescription": "CT head",
    "ScheduledProcedureStepStartDate": "20261122",
    "ScheduledProcedureStepStartTime": "103000",
    "Modality": "CT",
    "AccessionNumber": "A1",
}


def problems(body: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(BadRequest) as caught:
        check_new(body)
    return {error["field"]: error["problem"] for error in caught.value.members["errors"]}


def test_a_complete_body_is_taken_as_it_is() -> None:
    assert check_new(COMPLETE) == COMPLETE


def test_padding_counts_as_in_the_contract() -> None:
    assert problems({**COMPLETE, "Modality": " " + "A" * 16}) == {"Modality": "is longer than 16 characters"}
    assert check_new({**COMPLETE, "Modality": "CT "})["Modality"] == "CT"


def test_all_errors_are_reported_together() -> None:
    # GIVEN a body with a missing, an unknown, a too long, a wrongly typed and an ill-formed field
    body = {
        **COMPLETE,
        "PatientNmae": "X",
        "AccessionNumber": "A" * 17,
        "Modality": 5,
        "PatientSex": "X",
        "PatientBirthDate": "19700230",
    }
    del body["PatientID"]
    # WHEN it is checked THEN each one is named with what is wrong
    assert problems(body) == {
        "PatientID": "required",
        "PatientNmae": "unknown field; did you mean PatientName?",
        "AccessionNumber": "is longer than 16 characters",
        "Modality": "must be a string",
        "PatientSex": "must be one of M, F, O",
        "PatientBirthDate": "is not a day of the calendar",
    }


@pytest.mark.parametrize("attribute", [each for each in ATTRIBUTES if each.required], ids=lambda each: each.keyword)
@pytest.mark.parametrize("empty", [None, "", "   "])
def test_an_empty_required_field_is_missing(attribute: Any, empty: str | None) -> None:
    assert problems({**COMPLETE, attribute.keyword: empty}) == {attribute.keyword: "required"}


@pytest.mark.parametrize(
    ("field", "given", "stored"),
    [
        ("ScheduledProcedureStepStartDate", "2026-11-22", "20261122"),
        ("ScheduledProcedureStepStartTime", "10:30", "1030"),
        ("ScheduledProcedureStepStartTime", "10:30:05.25", "103005.25"),
        ("ScheduledProcedureStepStartTime", "10", "10"),
        ("ScheduledProcedureStepStartTime", "235960", "235960"),
        ("PatientName", 'O\'Brien^Mary "M"', 'O\'Brien^Mary "M"'),
        ("PatientName", "Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("PatientName", "Ελένη^Παπά==", "Ελένη^Παπά"),
        ("PatientID", "  12 34  ", "12 34"),
        ("RequestedProcedureDescription", "a^b=c\"d'e", "a^b=c\"d'e"),
        ("PregnancyStatus", 4, "4"),
        ("PregnancyStatus", "4", "4"),
        ("MedicalAlerts", ["Nickel", "Latex"], "Nickel\\Latex"),
        ("MedicalAlerts", "Nickel\\Latex", "Nickel\\Latex"),
        ("StudyInstanceUID", "1.2.840.99", "1.2.840.99"),
        ("ScheduledStationAETitle", "A" * 16, "A" * 16),
        ("PatientID", "😀" * 64, "😀" * 64),
    ],
)
def test_values_that_fit(field: str, given: Any, stored: str) -> None:
    assert check_new({**COMPLETE, field: given})[field] == stored


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("ScheduledProcedureStepStartDate", "22.11.2026"),
        ("ScheduledProcedureStepStartDate", "2026-1122"),
        ("ScheduledProcedureStepStartDate", "20261301"),
        ("ScheduledProcedureStepStartDate", "".join(chr(0xFF10 + int(digit)) for digit in "20261122")),
        ("ScheduledProcedureStepStartTime", "25"),
        ("ScheduledProcedureStepStartTime", "1060"),
        ("ScheduledProcedureStepStartTime", "10:30Z"),
        ("ScheduledProcedureStepStartTime", "10:3000"),
        ("ScheduledProcedureStepStartTime", "103000.1234567"),
        ("PatientName", "A" * 65),
        ("PatientName", "A=B=C=D"),
        ("PatientName", "A^B^C^D^E^F"),
        ("PatientName", "A\\B"),
        ("PatientName", "^^"),
        ("PatientID", "A\\B"),
        ("PatientID", "A\nB"),
        ("PatientID", "A\x85B"),
        ("PatientID", "\ud800"),
        ("PatientID", "A" * 65),
        ("Modality", "ct"),
        ("Modality", "A" * 17),
        ("ScheduledStationAETitle", "A" * 17),
        ("ScheduledStationAETitle", "SALLE_É"),
        ("StudyInstanceUID", "1..2"),
        ("StudyInstanceUID", "1." + "2" * 63),
        ("StudyInstanceUID", "../../etc"),
        ("PregnancyStatus", 7),
        ("PregnancyStatus", True),
        ("PregnancyStatus", 1.5),
        ("MedicalAlerts", ["A\\B"]),
        ("MedicalAlerts", [1]),
        ("MedicalAlerts", "x" * 65),
        ("PatientSex", ["M"]),
        ("PatientID", {"value": "1"}),
    ],
)
def test_values_that_do_not_fit(field: str, given: Any) -> None:
    assert set(problems({**COMPLETE, field: given})) == {field}


def test_an_error_never_quotes_the_value() -> None:
    with pytest.raises(BadRequest) as caught:
        check_new({**COMPLETE, "PatientName": "CANARY\\X", "PatientBirthDate": "CANARY", "PatientSex": "CANARY"})
    assert "CANARY" not in str(caught.value.problem(""))


def test_the_name_that_the_reference_uses_is_the_dicom_attribute() -> None:
    # GIVEN the plural name of the reference's documentation
    fields = check_new({**COMPLETE, "ScheduledPerformingPhysiciansName": "BIANCHI^ANNA"})
    # THEN it is the DICOM attribute, and both names at once are a contradiction
    assert fields["ScheduledPerformingPhysicianName"] == "BIANCHI^ANNA"
    both = {"ScheduledPerformingPhysicianName": "X^Y", "ScheduledPerformingPhysiciansName": "X^Y"}
    assert "ScheduledPerformingPhysiciansName" in problems({**COMPLETE, **both})


@pytest.mark.parametrize("field", ["StudyInstanceUID", "PatientID", "ScheduledProcedureStepID"])
def test_what_a_workitem_is_known_by_cannot_change(field: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_changes({field: "1.2"})
    assert caught.value.members["errors"][0]["field"] == field


def test_changes_may_empty_optional_fields_only() -> None:
    assert check_changes({"AdmissionID": None}) == {"AdmissionID": ""}
    with pytest.raises(BadRequest):
        check_changes({"PatientName": ""})
    with pytest.raises(BadRequest):
        check_changes({})


_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zs"), exclude_characters="\\"), min_size=1, max_size=64)


@given(_TEXT)
def test_any_script_survives_the_round_trip(value: str) -> None:
    # GIVEN any text in a field
    fields = check_new({**COMPLETE, "PatientID": value, "RequestedProcedureDescription": value})
    # WHEN it goes through DICOM JSON THEN it comes back unchanged
    item = from_mwl(to_mwl(Workitem("1.2.3", "1.2.4", fields)))
    assert item.fields["RequestedProcedureDescription"] == value
    assert item.fields["PatientID"] == value


def test_the_modality_worklist_shape() -> None:
    # GIVEN a workitem with few fields
    dataset = to_mwl(Workitem("1.2.3", "1.2.4", check_new({**COMPLETE, "PregnancyStatus": 4})))
    step = dataset["00400100"]["Value"][0]
    # THEN step attributes are inside the sequence, absent ones are present without a value, the charset is UTF-8
    assert dataset["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}
    assert dataset["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "ROSSI^MARIO"}]}
    assert dataset["001021C0"] == {"vr": "US", "Value": [4]}
    assert dataset["00380010"] == {"vr": "LO"}
    assert step["00400002"] == {"vr": "DA", "Value": ["20261122"]}
    assert step["00400006"] == {"vr": "PN"}
    assert {each.tag for each in ATTRIBUTES} <= set(dataset) | set(step)
    assert list(dataset) == sorted(dataset)


def test_the_simple_shape_leaves_out_what_is_empty() -> None:
    flat = to_simple(Workitem("1.2.3", "1.2.4", check_new({**COMPLETE, "PregnancyStatus": 4})))
    assert flat == {
        **COMPLETE,
        "PregnancyStatus": 4,
        "StudyInstanceUID": "1.2.3",
        "WorkitemUID": "1.2.4",
        "State": "SCHEDULED",
    }
