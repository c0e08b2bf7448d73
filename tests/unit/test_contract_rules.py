"""What the document says of a body is what the service enforces: for each field, the same values are good for both."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from dicom_service.contract import contract
from dicom_service.errors import BadRequest
from dicom_service.notifications.callback import check_fields
from dicom_service.worklist.validation import check_changes, check_new

NEW = {
    "PatientID": "P1",
    "PatientName": "DOE^JANE",
    "ScheduledStationAETitle": "CT1",
    "ScheduledProcedureStepDescription": "HEAD",
    "ScheduledProcedureStepStartDate": "20260131",
    "ScheduledProcedureStepStartTime": "0815",
    "Modality": "CT",
    "AccessionNumber": "A1",
}
REPORT = {"SourceID": "PACS", "StudyInstanceUID": "1.2.3"}
# Blanks alone are as good as no value; these fields list the values that the document knows.
ENUMERATED = {"PatientSex", "PregnancyStatus", "StudyInstanceUID"}
VALUES: tuple[Any, ...] = (
    *(
        None,
        "",
        " ",
        "A",
        "a b",
        "é",
        "A\\B",
        "A\tB",
        "A\x85B",
        "A*",
        "x" * 16,
        "x" * 17,
        "X" * 64,
        "X" * 65,
        [],
        ["A"],
        {},
    ),
    *(["A\\B"], ["x" * 65], [1], "20260131", "2026-01-31", "202601-31", "20260230", "00010101", "20240229", "20230229"),
    *("08", "0815", "08:15", "081530.123456", "08:15:30.5", "0815:30", "24", "0860", "081560", "081561", "081530."),
    *(
        "A^B^C^D^E",
        "A^B^C^D^E^F",
        "A=B=C",
        "A=B=C=D",
        "^",
        "=",
        "x" * 64 + "=" + "x" * 64,
        "x" * 65 + "=A",
        "M",
        "F",
        "m",
    ),
    *(1, 4, 5, -1, True, 1.5, "1", "5", "12", "-1", "1.2.3", "1..2", "1." * 31 + "11", "1." * 32 + "1", "CT_1", "ct"),
)


def _accepts(check: Callable[[Mapping[str, Any]], Any], body: Mapping[str, Any]) -> bool:
    try:
        check(body)
    except BadRequest:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "check", "least"),
    [
        ("NewWorkitem", check_new, NEW),
        ("WorkitemChanges", check_changes, {}),
        ("NewExamCallback", check_fields, REPORT),
    ],
)
def test_document_and_service_agree_on_every_value(name: str, check: Any, least: dict[str, Any]) -> None:
    document = contract()
    schema = document["components"]["schemas"][name]
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})
    assert validator.is_valid(least) == _accepts(check, least)
    agreed = {True: 0, False: 0}
    for field in (*schema["properties"], "Nothing"):
        for value in VALUES:
            if value == " " and field in ENUMERATED:
                continue
            body = {**least, field: value}
            accepted = _accepts(check, body)
            assert validator.is_valid(body) == accepted, (field, value)
            agreed[accepted] += 1
    assert min(agreed.values()) >= 100, agreed
