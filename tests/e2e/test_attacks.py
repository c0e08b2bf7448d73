"""Attacks on the deployed stack: what one file, message or key does, it does to itself."""

import hashlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import requests

from dicom_service.health import CACHED_FOR
from dicom_service.notifications.feed import write_cursor
from tests.support.authorizer import renew_authorizer
from tests.support.deployed import variables
from tests.support.dicom_files import EXPLICIT, dataset, element, part10
from tests.support.exams import exam, feed, upload_to_pacs
from tests.support.faults import FaultyProxy
from tests.support.hostile import Case, HostileFile, cases
from tests.support.stack import Stack
from tests.support.staged import stage_all
from tests.support.waiting import wait_for

SEED = 20261128
# Each worker's queue, and where it sets aside what it can do nothing with; the ingest leaves that to its queues.
QUEUES = {
    "ExamChecksQueue": "DeadExamChecksQueue",
    "AnnouncedQueue": "DeadAnnouncedQueue",
    "WebhooksQueue": "DeadWebhooksQueue",
    "FetchQueue": "DeadFetchQueue",
    "IngestQueue": None,
    "ZipQueue": None,
}
POISON = ("no JSON", json.dumps({"detail": {"bucket": {"name": "b"}, "object": {"key": 5, "etag": ""}}}), "[" * 50_000)


def waiting_in(stack: Stack, queue: str) -> int:
    names = ["ApproximateNumberOfMessages"]
    url = stack.outputs[queue]
    return int(stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]])


def in_pacs(stack: Stack, file: HostileFile) -> bool:
    path = f"/studies/{file.study}/series/{file.study}.1/instances/{file.instance}/metadata"
    return stack.pacs_request("GET", path, headers={"Accept": "application/dicom+json"}).status_code == 200


def test_poison_in_every_queue_holds_up_no_exam(stack: Stack) -> None:
    # GIVEN messages that nobody can read in the queue of each worker, beside those of an exam that is staged
    before = {dead: waiting_in(stack, dead) for dead in QUEUES.values() if dead}
    sqs = stack.client("sqs")
    for queue in QUEUES:
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(POISON)]
        assert not sqs.send_message_batch(QueueUrl=stack.outputs[queue], Entries=entries).get("Failed")
    study, files = exam(1, 3)

    # WHEN the exam comes, THEN it is stored and announced
    assert [file["state"] for file in stage_all(stack, files)] == ["stored"] * 3
    wait_for(lambda: any(study in json.dumps(event) for event in feed(stack)), 150)

    # AND what is no JSON was set aside by each worker that does so
    for dead, count in before.items():
        wait_for(lambda dead=dead, count=count: waiting_in(stack, dead) >= count + 2, 150)  # type: ignore[misc]


def test_health_asks_the_pacs_once_for_many_callers(stack: Stack) -> None:
    # GIVEN a PACS that counts what it is asked, and callers one after the other, for some seconds where that takes long
    with FaultyProxy(stack.pacs.url) as proxy, variables(stack, "GetHealthFunction", PACS_URL=proxy.url):
        began = time.monotonic()
        answers = [stack.request("GET", "/health", key=None).status_code for _ in range(30)]
        took = time.monotonic() - began
    # THEN it was asked once each time that an answer had become old
    assert answers == [200] * 30
    assert 1 <= sum(proxy.asked.values()) <= 1 + took / CACHED_FOR


def test_a_cursor_of_another_feed_is_a_conflict(stack: Stack) -> None:
    answer = stack.request("GET", "/events", params={"after": write_cursor(10**9)})
    assert (answer.status_code, answer.json()["code"]) == (409, "CURSOR_BEYOND_FEED")


@pytest.fixture
def reader_key(stack: Stack) -> Iterator[str]:
    """A service key with the role of a reader."""
    manager, secret = stack.client("secretsmanager"), stack.outputs["ServiceKeysSecret"]
    before = manager.get_secret_value(SecretId=secret)["SecretString"]
    key = f"dsk_{secrets.token_urlsafe(32)}"
    entry = {"name": "attacker", "role": "reader", "sha256": hashlib.sha256(key.encode()).hexdigest()}
    manager.put_secret_value(SecretId=secret, SecretString=json.dumps({"keys": [*json.loads(before)["keys"], entry]}))
    try:
        renew_authorizer(stack)
        yield key
    finally:
        manager.put_secret_value(SecretId=secret, SecretString=before)
        renew_authorizer(stack)


def test_a_reader_cannot_lock_codes_and_finds_no_otp_id(stack: Stack, reader_key: str) -> None:
    # GIVEN a code, whose event is in the feed that readers see
    study, files = exam(1, 1, patient="CANARY-READ")
    assert stage_all(stack, files)[0]["state"] == "stored"
    issued = stack.request("POST", "/otps", json={"studyUID": study, "patientID": "CANARY-READ"}).json()
    wait_for(lambda: any(issued["reference"] in json.dumps(event) for event in feed(stack)), 150)

    # THEN the reader sees its reference alone, and reaches none of its routes
    seen, after = "", None
    while (page := stack.request("GET", "/events", key=reader_key, params={"after": after}).json())["events"]:
        seen, after = seen + json.dumps(page), page["next"]
    assert issued["reference"] in seen
    assert issued["otpId"] not in seen
    path = f"/otps/{issued['otpId']}"
    for method, route in (("GET", path), ("DELETE", path), ("POST", f"{path}/resume"), ("POST", "/otps")):
        assert stack.request(method, route, key=reader_key, json={}).status_code == 403, (method, route)
    assert stack.request("GET", path).json()["state"] == "ACTIVE"


def test_guesses_at_many_codes_end_at_one_limit(stack: Stack) -> None:
    # GIVEN codes of one exam, and a limit that is lower than five tries at each
    study, files = exam(1, 1, patient="CANARY-GUESS")
    assert stage_all(stack, files)[0]["state"] == "stored"
    wanted = {"studyUID": study, "patientID": "CANARY-GUESS"}
    codes = [stack.request("POST", "/otps", json=wanted).json() for _ in range(5)]

    def guess(issued: dict[str, str]) -> requests.Response:
        wrong = {"otpId": issued["otpId"], "otp": "".join(str(9 - int(digit)) for digit in issued["otp"])}
        return stack.request("POST", "/otps/redeem", key=None, json=wrong)

    # WHEN somebody tries four wrong ones at each
    with variables(stack, "RedeemOtpFunction", MOST_WRONG_CODES="6"):
        answers = [guess(issued) for _ in range(4) for issued in codes]

    # THEN no more than the limit are compared, or twice as many where the five minutes ended meanwhile
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} <= {401, 429}
    assert len(answers) - len(refused) <= 12
    assert {answer.json()["code"] for answer in refused} == {"TOO_MANY_WRONG_CODES"}
    assert min(int(answer.headers["Retry-After"]) for answer in refused) > 0
    # AND without that limit the next is compared, and every code still opens: the refused tries were charged to none
    assert guess(codes[0]).status_code == 401
    for issued in codes:
        opened = stack.request("POST", "/otps/redeem", key=None, json={"token": issued["token"]})
        assert opened.status_code == 200, opened.text


def large(study: str, patient: str) -> bytes:
    """A file that is given by a link."""
    body = dataset(
        StudyInstanceUID=study.encode(),
        SeriesInstanceUID=f"{study}.1".encode(),
        SOPInstanceUID=f"{study}.1.1".encode(),
        PatientID=patient.encode(),
    )
    return part10(body + element(0x7FE00010, b"OW", bytes(6_000_000)), EXPLICIT)


def opened(stack: Stack, study: str, patient: str) -> str:
    """Issue a code for a patient's exam and redeem it."""
    issued = stack.request("POST", "/otps", json={"studyUID": study, "patientID": patient, "role": "diagnostic"})
    assert issued.status_code == 201, issued.text
    granted = stack.request("POST", "/otps/redeem", key=None, json={"token": issued.json()["token"]})
    assert granted.status_code == 200, granted.text
    return str(granted.json()["accessToken"])


def test_a_large_file_out_of_the_cache_is_not_given_to_whom_a_correction_made_the_patient(stack: Stack) -> None:
    # GIVEN a large file of one patient in the cache, and a PACS that then corrects the patient, all UIDs kept
    study = f"2.25.{time.time_ns()}"
    path = f"/exams/studies/{study}/series/{study}.1/instances/{study}.1.1?fileType=application/dicom"
    upload_to_pacs(stack, [large(study, "CANARY-WRONG")])
    before = opened(stack, study, "CANARY-WRONG")
    assert stack.request("GET", path, key=before).status_code == 303
    root, auth = stack.pacs.url.removesuffix("/dicom-web"), (stack.pacs.user, stack.pacs.password)
    query = {"Level": "Study", "Query": {"StudyInstanceUID": study}}
    (held,) = requests.post(f"{root}/tools/find", json=query, auth=auth, timeout=60).json()
    requests.delete(f"{root}/studies/{held}", auth=auth, timeout=60).raise_for_status()
    upload_to_pacs(stack, [large(study, "CANARY-RIGHT")])

    # WHEN the right patient has a code
    answer = stack.request("GET", path, key=opened(stack, study, "CANARY-RIGHT"))

    # THEN what is given is the file of the PACS, not the one out of the cache, and the former patient's token is closed
    assert answer.status_code == 303, answer.text
    given = requests.get(answer.headers["Location"], timeout=60).content
    assert b"CANARY-RIGHT" in given
    assert b"CANARY-WRONG" not in given
    refused = stack.request("GET", path, key=before)
    assert (refused.status_code, refused.json()["code"]) == (403, "EXAM_SUSPENDED")


class Watch:
    """What the PACS must not lose and the service must not say wrongly."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.pid = stack, stack.orthanc.pid
        self.told: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.stored: list[HostileFile] = []

    def note(self, case: Case, file: HostileFile, told: str) -> None:
        self.told[told] += 1
        if file.told not in ("either", told):
            self.wrong.append(f"{case.kind} {file.instance}: {told}, wanted {file.told}")
        if told == "stored":
            self.stored.append(file)

    def check(self) -> None:
        assert self.wrong == []
        assert self.stack.orthanc.running
        assert self.stack.orthanc.pid == self.pid
        vanished = [file.instance for file in self.stored if not in_pacs(self.stack, file)]
        assert vanished == []


def one_by_one(stack: Stack, case: Case, note: Callable[[Case, HostileFile, str], None]) -> None:
    for file in case.files:
        answer = stack.request("POST", "/exams", files={"file": file.content})
        assert answer.status_code < 500, (case.kind, answer.text)
        note(case, file, "stored" if answer.status_code == 200 else "refused")


def test_hostile_files_in_requests_harm_nobody(stack: Stack) -> None:
    watch = Watch(stack)
    for case in cases(SEED, 27, f"2.25.{time.time_ns()}"):
        one_by_one(stack, case, watch.note)
    watch.check()
    print(f"hostile files in requests: {dict(watch.told)}")
    assert min(watch.told["stored"], watch.told["refused"]) >= 10


def test_hostile_files_that_are_staged_harm_nobody(stack: Stack) -> None:
    """Those whose fate does not depend on which comes first, all in one upload."""
    watch = Watch(stack)
    chosen = [
        (case, file)
        for case in cases(SEED, 45, f"2.25.{time.time_ns()}")
        if case.kind not in ("collision", "patients")
        for file in case.files
    ]
    results = stage_all(stack, [file.content for _, file in chosen])
    for (case, file), result in zip(chosen, results, strict=True):
        watch.note(case, file, "stored" if result["state"] == "stored" else "refused")
    watch.check()
    print(f"hostile files that are staged: {dict(watch.told)}")
    assert min(watch.told["stored"], watch.told["refused"]) >= 10
