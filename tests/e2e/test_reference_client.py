"""A client of the reference service: the calls that its documentation shows, sent to the deployed stack.

Paths, bodies and spellings are those of Mia-Platform's pages on its DICOM Service, "APIs Overview"; a credential is the
one thing added. docs/reference-compatibility.md has the whole list.
"""

import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from pydicom import dcmread

from tests.support.dicom_files import ct_image, saved
from tests.support.pacs import FakePacs
from tests.support.stack import VIEWER_SECRET, Stack
from tests.support.viewer import KEY, PATH, TOKEN, reference_viewer

WORKITEM = {
    "StudyInstanceUID": "1.2.752.24.5.2584605181.20150129083013.816906",
    "PatientID": "SDJ38WMD1MS01",
    "PatientName": "MARIO^ROSSI",
    "ScheduledStationAETitle": "NGV",
    "ScheduledProcedureStepStartDate": "20000101",
    "ScheduledProcedureStepStartTime": "120000",
    "ScheduledProcedureStepDescription": "Tac",
    "Modality": "CT",
    "AccessionNumber": "NDS83JF784N209D2",
}
OPTIONAL = {
    "ScheduledPerformingPhysiciansName": "BIANCHI^ANNA",
    "ScheduledProcedureStepID": "SPS1",
    "RequestedProcedureDescription": "Tac",
    "RequestedProcedureID": "RP1",
    "RequestingPhysician": "VERDI^LUCA",
    "ReferringPhysicianName": "NERI^EVA",
    "AdmissionID": "ADM1",
    "CurrentPatientLocation": "Ward 3",
    "PatientBirthDate": "19600101",
    "PatientSex": "F",
    "ConfidentialityConstraintOnPatientDataDescription": "none",
    "PatientState": "stable",
    "PregnancyStatus": 1,
    "MedicalAlerts": "none",
    "PlacerOrderNumberImagingServiceRequest": "PO1",
    "ServiceEpisodeID": "EP1",
    "ScheduledStationName": "Room 5",
}
# Elements of the documented answer of GET /workitems: value representations, and values where the request has them.
SHOWN = {
    "00080005": "CS", "00080050": "SH", "00080090": "PN", "00100010": "PN", "00100020": "LO", "00100030": "DA",
    "00100040": "CS", "00102000": "LO", "001021C0": "US", "0020000D": "UI", "00321032": "PN", "00321060": "LO",
    "00380010": "LO", "00380300": "LO", "00380500": "LO", "00400100": "SQ", "00401001": "SH", "00402016": "LO",
    "00403001": "LO",
}  # fmt: skip
STEP = {
    "00080060": "CS", "00400001": "AE", "00400002": "DA", "00400003": "TM", "00400006": "PN", "00400007": "LO",
    "00400009": "SH", "00400010": "SH",
}  # fmt: skip
CALLBACK = {
    "SourceID": "O3PROD",
    "StudyInstanceUID": "1.3.76.13.90696.2.20130926082332.5279531.1",
    "AccessionNumber": "62476609-1",
    "PatientID": "46803338",
    "NumberOfStudyRelatedSeries": 1,
    "NumberOfStudyRelatedInstances": 239,
    "ModalitiesInStudy": ["CT"],
    "AeTitles": ["O3-PACS-57"],
    "StationNames": ["Station ALFA", "Station BETA"],
    "EventType": "COMPLETED",
    "StudyDate": "20130926",
    "StudyTime": "082329",
    "StudyID": None,
    "ReferringPhysicianName": "NO_DOC_NAME^NO_DOC_SURNAME",
    "StudyDescription": "DENTALSCAN SUP",
    "PatientName": "NO_SURNAME^NO_NAME",
    "PatientBirthDate": "19600101",
    "PatientSex": "F",
}
PATIENT = "REFERENCE-CLIENT"
STUDY = "1.2.826.0.1.3680043.9.29.1"
SERIES = f"{STUDY}.1"
INSTANCE = f"{SERIES}.1"
SERIES_PATH = f"/exams/studies/{STUDY}/series"
INSTANCES_PATH = f"{SERIES_PATH}/{SERIES}/instances"
INSTANCE_PATH = f"{SERIES_PATH}/{SERIES}/instance/{INSTANCE}"


def ct_file() -> bytes:
    uids = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": INSTANCE}
    return saved(ct_image(PatientID=PATIENT, **uids))


@pytest.fixture(scope="module")
def exam(stack: Stack) -> Any:
    """What `POST /exams` answered for one file in a form."""
    given = stack.request("POST", "/exams", files={"file": ("file.dcm", ct_file())})
    assert given.status_code == 200, given.text
    return given.json()


def delete_workitems(stack: Stack) -> None:
    """Delete what the documented patient has in the worklist."""
    for item in stack.request("GET", "/workitems", params={"patientID": WORKITEM["PatientID"]}).json():
        assert stack.request("DELETE", f"/workitems/{item['0020000D']['Value'][0]}").status_code == 204


@pytest.fixture
def no_workitem(stack: Stack) -> Iterator[None]:
    delete_workitems(stack)
    yield
    delete_workitems(stack)


def test_the_documented_workitem_is_created_found_and_deleted(stack: Stack, no_workitem: None) -> None:
    made = stack.request("POST", "/workitems", json=WORKITEM, headers={"accept": "application/json"})
    assert made.status_code == 200, made.text
    assert made.json()["StudyInstanceUID"] == WORKITEM["StudyInstanceUID"]

    [found] = stack.request("GET", "/workitems", params={"patientID": WORKITEM["PatientID"]}).json()
    [step] = found["00400100"]["Value"]
    assert {tag: found.get(tag, {}).get("vr") for tag in SHOWN} == SHOWN
    assert {tag: step.get(tag, {}).get("vr") for tag in STEP} == STEP
    assert found["00080005"]["Value"] == ["ISO_IR 192"]
    assert found["00080050"]["Value"] == [WORKITEM["AccessionNumber"]]
    assert found["00100010"]["Value"] == [{"Alphabetic": WORKITEM["PatientName"]}]
    assert found["00100020"]["Value"] == [WORKITEM["PatientID"]]
    assert found["0020000D"]["Value"] == [WORKITEM["StudyInstanceUID"]]
    scheduled = {tag: step[tag]["Value"] for tag in ("00080060", "00400001", "00400002", "00400003", "00400007")}
    assert list(scheduled.values()) == [["CT"], ["NGV"], ["20000101"], ["120000"], ["Tac"]]

    assert stack.request("POST", "/workitems", json=WORKITEM).status_code == 409
    deleted = stack.request("DELETE", f"/workitems/{WORKITEM['StudyInstanceUID']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    gone = stack.request("GET", "/workitems", params={"patientID": WORKITEM["PatientID"]})
    assert (gone.status_code, gone.json()) == (200, [])


def test_a_workitem_with_every_optional_field_and_no_uid(stack: Stack, no_workitem: None) -> None:
    body = {name: value for name, value in WORKITEM.items() if name != "StudyInstanceUID"} | OPTIONAL
    assert len(body) == 8 + 17
    made = stack.request("POST", "/workitems", json=body)
    assert made.status_code == 200, made.text
    [found] = stack.request("GET", "/workitems", params={"patientID": WORKITEM["PatientID"]}).json()
    assert found["0020000D"]["Value"] == [made.json()["StudyInstanceUID"]]
    assert found["001021C0"]["Value"] == [1]


@pytest.mark.parametrize("body", ["", "{}"])
def test_an_empty_workitem_is_400(stack: Stack, body: str) -> None:
    given = stack.request("POST", "/workitems", data=body, headers={"content-type": "application/json"})
    assert given.status_code == 400


def test_one_file_in_a_form_is_stored_and_answered_as_documented(exam: Any) -> None:
    ct = "1.2.840.10008.5.1.4.1.1.2"
    [answer] = exam
    sequence = answer["00081199"]
    assert (sequence["vr"], len(sequence["Value"])) == ("SQ", 1)
    # Besides what is documented there is the study's own URL, which STOW-RS answers have (PS3.18 Annex I).
    assert set(answer) == {"00081199", "00081190"}
    [stored] = sequence["Value"]
    assert stored["00081150"] == {"vr": "UI", "Value": [ct]}
    assert stored["00081155"] == {"vr": "UI", "Value": [INSTANCE]}
    assert (set(stored), stored["00081190"]["vr"]) == ({"00081150", "00081155", "00081190"}, "UR")
    assert stored["00081190"]["Value"][0].endswith(f"/series/{SERIES}/instances/{INSTANCE}?fileType=application/dicom")


def test_a_file_that_is_not_dicom_is_422(stack: Stack) -> None:
    assert stack.request("POST", "/exams", files={"file": ("file.dcm", b"no DICOM")}).status_code == 422


@pytest.mark.parametrize("spelling", ["PatientId", "patientID", "patientId"])
def test_lists_by_patient(stack: Stack, exam: Any, spelling: str) -> None:
    for path, tag, uid in (
        ("/exams/studies", "0020000D", STUDY),
        (SERIES_PATH, "0020000E", SERIES),
        (INSTANCES_PATH, "00080018", INSTANCE),
    ):
        given = stack.request("GET", path, params={spelling: PATIENT})
        assert given.status_code == 200, given.text
        assert [one[tag] for one in given.json()] == [{"vr": "UI", "Value": [uid]}]


def test_lists_of_another_patient(stack: Stack, exam: Any) -> None:
    nobody = stack.request("GET", "/exams/studies", params={"PatientId": "nobody"})
    assert (nobody.status_code, nobody.json()) == (200, [])
    for path in (SERIES_PATH, INSTANCES_PATH):
        assert stack.request("GET", path, params={"PatientId": "nobody"}).status_code == 404


def test_a_file_and_its_picture(stack: Stack, exam: Any) -> None:
    file = stack.request("GET", f"{INSTANCE_PATH}?fileType=application/dicom")
    assert (file.status_code, file.headers["Content-Type"]) == (200, "application/dicom")
    assert dcmread(io.BytesIO(file.content)).PixelData == dcmread(io.BytesIO(ct_file())).PixelData
    picture = stack.request("GET", f"{INSTANCE_PATH}?fileType=image%2Fjpeg")
    assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(picture.content)).format == "JPEG"
    assert stack.request("GET", INSTANCE_PATH).status_code == 400


@pytest.mark.parametrize("emptied", [(), tuple(sorted(set(CALLBACK) - {"SourceID", "StudyInstanceUID"}))])
def test_the_documented_event_of_the_pacs(stack: Stack, emptied: tuple[str, ...]) -> None:
    # as `curl --data` sends it, which names no JSON; then with null for all but the two that say what it is about
    assert len(CALLBACK) == 18
    body = json.dumps(CALLBACK | dict.fromkeys(emptied))
    headers = {"content-type": "application/x-www-form-urlencoded"}
    given = stack.request("POST", "/new-exam-callback", key=stack.callback_key, data=body, headers=headers)
    assert (given.status_code, given.content) == (204, b"")


def test_a_token_of_this_service(stack: Stack, exam: Any) -> None:
    for asked, role in (({"role": "patient"}, "patient"), ({}, "patient"), ({"role": "diagnostic"}, "diagnostic")):
        given = stack.request(
            "GET", "/token", params={"patientID": PATIENT, "studyUID": STUDY, "user": "rossi", **asked}
        )
        assert (given.status_code, set(given.json())) == (200, {"token", "link"}), given.text
        redeemed = stack.request("POST", "/otps/redeem", key=None, json={"token": given.json()["token"]})
        assert (redeemed.status_code, redeemed.json()["role"]) == (200, role)
    assert stack.request("GET", "/token", params={"studyUID": STUDY}).status_code == 200
    assert stack.request("GET", "/token", params={"patientID": PATIENT}).status_code == 400


def test_a_uid(stack: Stack) -> None:
    given = stack.request("GET", "/uid")
    assert (given.status_code, set(given.json())) == (200, {"uid"})
    assert len(given.json()["uid"]) <= 64


class TokenFunction:
    """The deployed function of `GET /token`, whose settings can be changed as another deployment would."""

    def __init__(self, stack: Stack) -> None:
        self._functions = stack.client("lambda")
        pages = self._functions.get_paginator("list_functions").paginate()
        names = [function["FunctionName"] for page in pages for function in page["Functions"]]
        [self._name] = [name for name in names if "IssueOtp" in name]
        known = self._functions.get_function_configuration(FunctionName=self._name)
        self.variables: dict[str, str] = known["Environment"]["Variables"]

    def set(self, **settings: str) -> None:
        environment = {"Variables": self.variables | settings}
        self._functions.update_function_configuration(FunctionName=self._name, Environment=environment)


@pytest.fixture
def token_function(stack: Stack) -> Iterator[TokenFunction]:
    function = TokenFunction(stack)
    if VIEWER_SECRET not in function.variables["VIEWER_SECRET_ARN"]:
        pytest.skip("deployed without ViewerSecretArn, so the function may read no viewer's secret (make up)")
    yield function
    function.set()


def test_a_token_of_the_references_viewer(stack: Stack, exam: Any, token_function: TokenFunction) -> None:
    # GIVEN a secret that the template lets the function read, and one that it does not
    value = json.dumps({"name": "Authorization", "value": KEY})
    secrets = stack.client("secretsmanager")
    foreign, own = (
        secrets.create_secret(Name=f"{name}-{uuid.uuid4().hex}", SecretString=value)["ARN"]
        for name in ("secret-of-another", VIEWER_SECRET)
    )
    asked = {"patientID": PATIENT, "studyUID": STUDY, "user": "rossi", "role": "diagnostic"}
    with FakePacs(reference_viewer) as viewer:
        settings = {"VIEWER_TOKEN_URL": viewer.url.replace("/dicom-web", PATH)}
        settings["VIEWER_PARAMETERS"] = "user=username,patientID="
        # WHEN it is pointed to the other one THEN it gets nowhere
        token_function.set(**settings, VIEWER_SECRET_ARN=foreign)
        assert stack.request("GET", "/token", params=asked).status_code == 500
        assert viewer.received == []
        # WHEN it is pointed to its own THEN the viewer's token comes
        token_function.set(**settings, VIEWER_SECRET_ARN=own)
        given = stack.request("GET", "/token", params=asked)
        assert (given.status_code, given.json()) == (200, {"token": TOKEN})
        [received] = viewer.received
        assert received.query == {"username": "rossi", "role": "diagnostic", "studyUID": STUDY}
        # AND for an exam that is not this patient's the viewer is not even asked
        assert stack.request("GET", "/token", params=asked | {"patientID": "nobody"}).status_code == 409
        assert len(viewer.received) == 1
    for arn in (foreign, own):
        secrets.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)
