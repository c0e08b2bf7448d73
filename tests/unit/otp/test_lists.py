"""GET /otps: codes of a study or a patient, page by page; codes of an earlier version, once they are indexed."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from dicom_service import aws
from dicom_service.errors import BadRequest
from dicom_service.otp.model import Otp
from dicom_service.otp.store import OtpStore
from dicom_service.otp.subjects import study_subject
from scripts.index_otps import index
from tests.support.otp import PATIENT, PORTAL, STUDY, Harness

EVENT = json.loads((Path(__file__).parents[3] / "events" / "get_otp.json").read_text())


@pytest.fixture
def function(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The function with the harness's tables."""
    module = importlib.import_module("functions.get_otp.app")
    monkeypatch.setattr(module, "manager", lambda: harness.manager)
    return module.lambda_handler


def listed(function: Any, query: dict[str, str]) -> tuple[list[str], dict[str, str] | None]:
    """The otpIds of a page, and the query of the next one."""
    event = EVENT | {
        "path": "/otps",
        "resource": "/otps",
        "pathParameters": None,
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()},
    }
    answer = function(event, None)
    assert answer["statusCode"] == 200, answer["body"]
    links = answer["multiValueHeaders"].get("Link")
    found = [code["otpId"] for code in json.loads(answer["body"])]
    if not links:
        return found, None
    url, _, relation = links[0].partition(">; ")
    assert relation == 'rel="next"'
    return found, {name: values[0] for name, values in parse_qs(urlsplit(url[1:]).query).items()}


def issue_some(harness: Harness, count: int) -> list[str]:
    """Issue codes, two in each second; give them the newest first."""
    issued = []
    for number in range(count):
        harness.clock.now += number % 2
        issued.append(harness.issue()["otpId"])
    return issued[::-1]


@pytest.mark.parametrize("query", [{"studyUID": STUDY}, {"patientID": PATIENT}], ids=["study", "patient"])
def test_pages_follow_each_other_the_newest_first_and_none_is_left_out(
    function: Any, harness: Harness, query: dict[str, str]
) -> None:
    issued = issue_some(harness, 7)
    pages, seen = 0, list[str]()
    further: dict[str, str] | None = {**query, "limit": "3"}
    while further:
        found, further = listed(function, further)
        pages, seen = pages + 1, seen + found
        # A code issued meanwhile belongs before the first page and moves nothing.
        harness.clock.now += 10
        harness.issue()
    assert pages == 3
    assert sorted(seen) == sorted(issued)
    created = [harness.store.get(otp_id).created_at for otp_id in seen]  # type: ignore[union-attr]
    assert created == sorted(created, reverse=True)


def test_the_otp_id_is_not_in_the_link_and_a_last_page_has_none(function: Any, harness: Harness) -> None:
    issued = issue_some(harness, 3)
    _, further = listed(function, {"studyUID": STUDY, "limit": "2"})
    assert further is not None
    assert not any(otp_id in json.dumps(further) for otp_id in issued)
    assert len(listed(function, further)[0]) == 1
    assert listed(function, {"studyUID": STUDY, "limit": "3"})[1] is None


def test_a_page_reads_no_more_codes_than_it_shows(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    issue_some(harness, 5)
    read: list[str] = []
    get_many = OtpStore.get_many

    def counting(store: OtpStore, otp_ids: Sequence[str]) -> list[Otp]:
        read.extend(otp_ids)
        return get_many(store, otp_ids)

    monkeypatch.setattr(OtpStore, "get_many", counting)
    harness.manager.find(study_uid=STUDY, patient_id=None, limit=2)
    assert len(read) == 2


@pytest.mark.parametrize("cursor", ["1", "x.y", "1." + "g" * 32, "-1." + "a" * 32])
def test_a_cursor_that_was_not_given_out_is_rejected(harness: Harness, cursor: str) -> None:
    with pytest.raises(BadRequest):
        harness.manager.find(study_uid=STUDY, patient_id=None, limit=2, cursor=cursor)


def test_codes_of_an_earlier_version_are_listed_and_revoked_once_they_are_indexed(harness: Harness) -> None:
    # GIVEN a code of a version that had no subjects
    otp_id = harness.issue()["otpId"]
    tables = harness.tables
    for row in aws.dynamodb().scan(TableName=tables.subjects)["Items"]:
        key = {name: row[name] for name in ("subject", "otpId")}
        aws.dynamodb().delete_item(TableName=tables.subjects, Key=key)
    assert harness.manager.find(study_uid=STUDY, patient_id=None, limit=10) == ([], None)

    for _ in range(2):
        assert index(aws.dynamodb(), tables.otps, tables.subjects) == 1

    found, _ = harness.manager.find(study_uid=STUDY, patient_id=None, limit=10)
    assert [code["otpId"] for code in found] == [otp_id]
    assert len(list(harness.store.ids_of(study_subject(STUDY)))) == 1
    assert harness.manager.revoke_all(PORTAL, study_uid=STUDY, patient_id=None) == 1
