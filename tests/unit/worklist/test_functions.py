"""The worklist's functions on their sample events, and the files that modalities read."""

from __future__ import annotations

import base64
import importlib
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pydicom
import pytest

from dicom_service.errors import SettingsError
from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.settings import load
from dicom_service.worklist import dependencies
from dicom_service.worklist.dependencies import worklist_files
from dicom_service.worklist.dynamodb import DynamoWorklist
from dicom_service.worklist.pacs_worklist import PENDING_TIMEOUT
from dicom_service.worklist.store import PendingChange, Row, WorkitemStore
from dicomweb.worklist.base import COMPLETED, IN_PROGRESS, Workitem, WorkitemKey
from tests.support.pacs import FakePacs, answer
from tests.support.worklist import STORED

EVENTS = Path(__file__).parents[3] / "events"
STUDY = "2.25.329800735698586629295641978511506172918.1"


@pytest.fixture(autouse=True)
def settings(cloud: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, table in {
        "WORKITEMS_TABLE": "WorkitemsTable",
        "EXAM_EVENTS_TABLE": "ExamEventsTable",
        "UIDS_TABLE": "UidsTable",
    }.items():
        monkeypatch.setenv(name, table)


def sample(name: str) -> dict[str, Any]:
    return dict(json.loads((EVENTS / f"{name}.json").read_text()))


def invoke(name: str, **changes: Any) -> dict[str, Any]:
    return dict(importlib.import_module(f"functions.{name}.app").lambda_handler({**sample(name), **changes}, None))


def call(name: str, **changes: Any) -> tuple[int, Any]:
    answer = invoke(name, **changes)
    return answer["statusCode"], json.loads(answer["body"]) if answer.get("body") else None


def worklist_store() -> WorkitemStore:
    return WorkitemStore("WorkitemsTable", Outbox(OutboxSettings("ExamEventsTable")))


def worklist() -> DynamoWorklist:
    return DynamoWorklist(worklist_store())


def test_the_samples_are_the_life_of_a_workitem() -> None:
    created = call("create_workitem")
    assert (created[0], created[1]["StudyInstanceUID"], created[1]["State"]) == (200, STUDY, "SCHEDULED")
    assert call("create_workitem")[0] == 409
    status, [listed] = call("list_workitems")
    assert (status, listed["PatientName"], listed["State"]) == (200, "ROSSI^MARIO", "SCHEDULED")
    assert call("get_workitem") == (200, listed)
    assert call("update_workitem")[1]["00400100"]["Value"][0]["00400003"]["Value"] == ["1115"]
    assert call("change_workitem_state") == (204, None)
    assert call("delete_workitem")[0] == 409
    cancel = base64.b64encode(b'{"State": "CANCELED"}').decode()
    assert call("change_workitem_state", body=cancel) == (204, None)
    assert call("delete_workitem") == (204, None)
    assert call("get_workitem")[0] == 404
    assert call("list_workitems") == (200, [])


def test_further_pages_are_linked() -> None:
    for number in range(3):
        worklist().create(Workitem(f"1.2.{number}", f"1.3.{number}", {**STORED, "PatientID": "PID1"}))
    query = {"PATIENTID": "PID1", "limit": "2"}
    answer = invoke("list_workitems", queryStringParameters=query, multiValueQueryStringParameters=None)
    assert len(json.loads(answer["body"])) == 2
    [link] = answer["multiValueHeaders"]["Link"]
    assert link.endswith('; rel="next"') and "patientID=PID1" in link and "cursor=2026112210" in link


@pytest.mark.parametrize("query", [{"patientld": "1"}, {"state": "DONE"}, {"from": "yesterday"}, {"cursor": "x"}])
def test_an_invalid_query_is_rejected(query: dict[str, str]) -> None:
    assert call("list_workitems", queryStringParameters=query, multiValueQueryStringParameters=None)[0] == 400


def test_no_patient_data_in_an_error() -> None:
    body = {"PatientName": "CANARY\\", "PatientID": "CANARY" * 20, "Modality": "CANARY!"}
    answer = invoke("create_workitem", body=base64.b64encode(json.dumps(body).encode()).decode())
    assert answer["statusCode"] == 400
    assert "CANARY" not in answer["body"]


class TestFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("WORKLIST_FILES", str(tmp_path))
        return tmp_path

    def test_a_file_says_what_the_workitem_says(self, folder: Path) -> None:
        worklist().create(Workitem(STUDY, "1.3.1", STORED))
        assert invoke("write_worklist_file") == {"batchItemFailures": []}
        dataset = pydicom.dcmread(folder / f"{STUDY}.wl")
        assert str(dataset.PatientName) == STORED["PatientName"]
        assert dataset.StudyInstanceUID == STUDY
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        [step] = dataset.ScheduledProcedureStepSequence
        assert (step.Modality, step.ScheduledStationAETitle) == ("CT", "CT1")
        assert step.ScheduledProcedureStepStartDate == "20261122"
        assert [path.name for path in folder.iterdir()] == [f"{STUDY}.wl"]

    def test_it_goes_with_its_workitem_and_again_does_no_harm(self, folder: Path) -> None:
        item = worklist().create(Workitem(STUDY, "1.3.1", STORED))
        worklist().change_state(item.key, IN_PROGRESS)
        invoke("write_worklist_file")
        assert (folder / f"{STUDY}.wl").exists()
        worklist().change_state(item.key, COMPLETED)
        for _ in range(2):
            assert invoke("write_worklist_file") == {"batchItemFailures": []}
            assert not list(folder.iterdir())

    def test_an_old_record_does_not_bring_a_file_back(self, folder: Path) -> None:
        # GIVEN a workitem that is gone WHEN the record of its creation comes late THEN there is no file
        worklist().create(Workitem(STUDY, "1.3.1", STORED))
        worklist().delete(WorkitemKey(STUDY))
        assert invoke("write_worklist_file") == {"batchItemFailures": []}
        assert not list(folder.iterdir())
        # The same record does write the file of a workitem that is there.
        worklist().create(Workitem(STUDY, "1.3.2", STORED))
        assert invoke("write_worklist_file") == {"batchItemFailures": []}
        assert [path.name for path in folder.iterdir()] == [f"{STUDY}.wl"]

    def test_a_record_that_breaks_something_does_not_hold_up_the_others(self, folder: Path) -> None:
        # GIVEN a batch whose first record makes no sense and whose second names no UID
        worklist().create(Workitem(STUDY, "1.3.1", STORED))
        [good] = sample("write_worklist_file")["Records"][:1]
        no_uid = {"dynamodb": {"SequenceNumber": "2", "Keys": {"StudyInstanceUID": {"S": "../x"}}}}
        poison = [{"dynamodb": {"SequenceNumber": "1", "Keys": {}}}, no_uid]
        # WHEN it is followed THEN the file is there, and the stream is asked to send the first again
        assert worklist_files().follow([*poison, good]) == "1"
        assert worklist_files().follow([good, no_uid]) == "2"
        assert [path.name for path in folder.iterdir()] == [f"{STUDY}.wl"]

    def test_what_cannot_be_written_comes_again(self, folder: Path) -> None:
        worklist().create(Workitem(STUDY, "1.3.1", STORED))
        files = worklist_files()
        folder.rmdir()
        records = sample("write_worklist_file")["Records"]
        assert files.follow(records) == records[0]["dynamodb"]["SequenceNumber"]

    def test_into_a_bucket(self, monkeypatch: pytest.MonkeyPatch) -> None:
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket="lists", CreateBucketConfiguration={"LocationConstraint": "eu-south-1"})
        monkeypatch.setenv("WORKLIST_FILES", "s3://lists/mwl")
        worklist().create(Workitem(STUDY, "1.3.1", STORED))
        invoke("write_worklist_file")
        content = s3.get_object(Bucket="lists", Key=f"mwl/{STUDY}.wl")["Body"].read()
        assert pydicom.dcmread(io.BytesIO(content)).PatientID == "PID'1"
        worklist().delete(WorkitemKey(STUDY))
        invoke("write_worklist_file")
        assert s3.list_objects_v2(Bucket="lists")["KeyCount"] == 0

    def test_a_folder_that_is_not_there_is_the_operators_to_repair(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORKLIST_FILES", "/no/such/folder")
        with pytest.raises(SettingsError):
            worklist_files()


@pytest.mark.parametrize("kind", ["ups-rs", "mwl-rs", "orthanc"])
def test_the_worklist_of_the_settings_is_opened(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKLIST", kind)
    monkeypatch.setenv("PACS_URL", "http://127.0.0.1:1/dicom-web")
    monkeypatch.setenv("PACS_CONNECT_TIMEOUT", "0.3")
    monkeypatch.setenv("PACS_TOTAL_TIMEOUT", "5")
    # GIVEN a PACS that is down THEN the API says so
    status, problem = call("create_workitem")
    assert (status, problem["code"]) == (502, "PACS_UNREACHABLE")
    # AND what was left under way there stays so
    since = int(time.time()) - PENDING_TIMEOUT - 1
    row = Row(Workitem(STUDY, "1.3.1", STORED), listed=False, pending=PendingChange("update", since, fields=STORED))
    worklist_store().write(row)
    assert invoke("recover_workitems") == {"done": 0, "left": 1}
    # AND is recovered when the PACS is back, which knows nothing of it
    with FakePacs(answer(404)) as pacs:
        monkeypatch.setenv("PACS_URL", pacs.url)
        dependencies.pacs_worklist.cache_clear()
        assert invoke("recover_workitems") == {"done": 1, "left": 0}
        assert pacs.received


def test_settings_are_read_once_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[type] = []

    def counted(kind: type) -> Any:
        loaded.append(kind)
        return load(kind)

    monkeypatch.setattr(dependencies, "load", counted)
    assert call("list_workitems")[0] == 200
    assert call("list_workitems")[0] == 200
    assert loaded.count(dependencies.WorklistSettings) == 1
    assert len(set(loaded)) == len(loaded) == 2


def test_a_worklist_that_nobody_knows_is_misconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKLIST", "paper")
    assert call("list_workitems")[1]["code"] == "MISCONFIGURED"


def test_listing_an_own_worklist_imports_no_http_client_and_no_pydicom() -> None:
    listed = "[name for name in ('requests', 'pydicom', 'numpy') if name in sys.modules]"
    code = f"import sys, functions.list_workitems.app; print({listed})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=EVENTS.parent)
    assert done.stdout.strip() == "[]"
