"""The fifteen checks. Each returns a line for the report, or raises `Failed` or `Impossible`."""

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from urllib.parse import urlsplit

import requests

from scripts.redrive import redrive
from scripts.smoke.deployment import Deployment, Failed, Impossible, expect, instance, new_uid, post_form, zipped
from scripts.smoke.webhooks import Receiver
from scripts.webhooks import secret

Check = Callable[[Deployment], str]
_MB = 1_000_000


def stack_and_region(deployment: Deployment) -> str:
    """The stack's outputs are there, and its API is the one that is called."""
    missing = {"ApiUrl", "StagingBucket", "IngestQueue", "EventBus"} - set(deployment.outputs)
    expect(sorted(missing), [], "missing outputs")
    region = str(deployment.aws("s3").meta.region_name)
    if not deployment.is_local and region not in deployment.outputs["ApiUrl"]:
        raise Failed(f"the API is not in {region}")
    return f"{len(deployment.outputs)} outputs, {region}"


def presigned_hosts(deployment: Deployment) -> str:
    """A form, the URL of a part, and both name the bucket in its region."""
    small, large = deployment.open_upload({"name": "a", "size": 10}, {"name": "b", "size": 70 * 1024 * 1024})["files"]
    expect(post_form(small, b"not DICOM.").status_code, 204, "the form")
    part = large["multipart"]["parts"][0]
    sent = requests.put(part["url"], data=bytes(part["size"]), timeout=300)
    expect(sent.status_code, 200, "the part")
    if not sent.headers.get("ETag"):
        raise Failed("the part has no ETag")
    hosts = {str(urlsplit(url).hostname) for url in (small["url"], part["url"])}
    region = str(deployment.aws("s3").meta.region_name)
    if not deployment.is_local and not all(f".s3.{region}." in host for host in hosts):
        raise Failed(f"hosts without the region: {', '.join(sorted(hosts))}")
    return "form 204, part 200" + ("" if deployment.is_local else f", hosts in {region}")


def an_upload_is_stored(deployment: Deployment) -> str:
    """A file goes through S3 to the PACS and comes back; the first one of a new bucket may take six minutes."""
    study = new_uid()
    started = time.monotonic()
    progress = deployment.finished(deployment.upload(instance(study)))
    expect(progress["counts"], {"stored": 1}, "the file")
    found = deployment.call("GET", f"/exams/studies/{study}/series")
    expect((found.status_code, len(found.json())), (200, 1), "the series in the PACS")
    return f"stored after {time.monotonic() - started:.0f} s"


def a_zip_is_stored(deployment: Deployment) -> str:
    """A ZIP of 20 MiB and 20 instances."""
    study = new_uid()
    content = zipped(*(instance(study, size=1024 * 1024, number=number) for number in range(20)))
    started = time.monotonic()
    progress = deployment.finished(deployment.upload(content, name="smoke.zip"))
    expect((progress["counts"], progress["instances"]), ({"stored": 1}, 20), "the ZIP")
    return f"20 instances after {time.monotonic() - started:.0f} s"


def a_wrong_checksum_is_rejected(deployment: Deployment) -> str:
    """A form with a SHA-256 takes no other content: S3 says 400, or the service rejects the file."""
    content = b"as announced"
    announced = {"name": "a", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    opened = deployment.open_upload(announced)
    status = post_form(opened["files"][0], b"not as that.").status_code
    if status == 400:
        return "400 by S3"
    # An emulator takes it; what is in the bucket is compared all the same.
    expect(status, 204, "the form with another content")
    file = deployment.finished(opened["uploadId"])["files"][0]
    expect(file.get("reason"), "CHECKSUM_MISMATCH", "the file")
    if not deployment.is_local:
        raise Failed("S3 took content of another SHA-256")
    return "CHECKSUM_MISMATCH by the service; S3's 400 cannot be seen here"


def long_bodies(deployment: Deployment) -> str:
    """Bodies of 4 MB reach the function, longer ones are 413 by the service or by the gateway."""
    found = {}
    for megabytes in (4, 5, 7, 11):
        kind = {"Content-Type": "application/dicom"}
        answer = deployment.call("POST", "/exams", data=bytes(megabytes * _MB), headers=kind)
        found[megabytes] = answer.status_code
    expect(found, {4: 422, 5: 413, 7: 413, 11: 413}, "statuses by MB")
    return ", ".join(f"{size} MB {status}" for size, status in found.items())


def errors_are_problems(deployment: Deployment) -> str:
    """401, 403 and 404 have a problem body with a code."""
    study = new_uid()
    answers = {
        401: deployment.call("GET", "/exams/studies", key="dsk_unknown"),
        403: deployment.call("POST", "/new-exam-callback", json={}),
        404: deployment.call("GET", f"/exams/studies/{study}/series"),
    }
    for status, answer in answers.items():
        expect(answer.status_code, status, "status")
        expect(answer.headers["Content-Type"].split(";")[0], "application/problem+json", f"content type of {status}")
    return ", ".join(f"{status} {answer.json()['code']}" for status, answer in answers.items())


def custom_domain(deployment: Deployment) -> str:
    """The API's own name answers, and links in answers name it."""
    if not deployment.custom_url:
        raise Impossible("no --custom-url given")
    study = new_uid()
    expect(deployment.finished(deployment.upload(instance(study)))["state"], "completed", "the upload")
    answer = deployment.call("GET", f"{deployment.custom_url}/exams/studies/{study}/series")
    expect(answer.status_code, 200, "a route below the name")
    links = set(re.findall(r'https://[^"]+', answer.text))
    expect([link for link in links if not link.startswith(deployment.custom_url)], [], "links elsewhere")
    return f"200, {len(links)} links"


def a_code_opens_once(deployment: Deployment) -> str:
    """One of twenty that redeem a code at the same moment gets in."""
    study = new_uid()
    expect(deployment.finished(deployment.upload(instance(study)))["state"], "completed", "the upload")
    issued = deployment.call("POST", "/otps", json={"studyUID": study, "patientID": "SMOKE"})
    expect(issued.status_code, 201, "POST /otps")
    token = {"token": issued.json()["token"]}

    def redeem(_: int) -> int:
        answer = requests.post(f"{deployment.api_url}/otps/redeem", json=token, timeout=60)
        return answer.status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = Counter(pool.map(redeem, range(20)))
    expect(statuses[200], 1, "redeemed")
    # What the account's limits turn away has not got in either.
    others = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()) if status != 200)
    return f"1 of 20 got in; {others}"


def concurrent_files_count_once(deployment: Deployment) -> str:
    """Fifty files of one upload, which meet at its counter, are each stored and counted once."""
    study = new_uid()
    progress = deployment.finished(deployment.upload(*(instance(study, number=number) for number in range(50))))
    expect((progress["counts"], progress["instances"]), ({"stored": 50}, 50), "the files")
    return "50 stored, 50 counted"


def events_come_once_and_in_order(deployment: Deployment) -> str:
    """Two exams are in the feed once each, in their order; a receiver that is named gets a signed webhook of each."""
    if not deployment.webhook_url:
        return f"{_two_exams(deployment)[0]}; no --webhook-url, so no webhook was caught"
    signed_with = secret(deployment.outputs, deployment.webhook_url)
    with Receiver(deployment.webhook_port) as receiver:
        line, studies = _two_exams(deployment)
        deployment.wait(lambda: {hook.study for hook in receiver.caught} >= set(studies), "the webhooks did not come")
        others = [hook for hook in receiver.caught if not hook.is_signed(signed_with)]
        expect(len(others), 0, "webhooks of another secret")
    return f"{line}, with signed webhooks"


def _two_exams(deployment: Deployment) -> tuple[str, list[str]]:
    cursor = _read_feed(deployment, "")[1]
    studies = [new_uid(), new_uid()]
    announced: list[str] = []
    for study in studies:
        expect(deployment.finished(deployment.upload(instance(study)))["state"], "completed", "the upload")

        def is_announced(study: str = study) -> bool:
            announced[:] = [uid for uid in _read_feed(deployment, cursor)[0] if uid in studies]
            return study in announced

        deployment.wait(is_announced, "the exam is not announced")
    expect(announced, studies, "announced")
    return "2 exams, once each, in order", studies


def _read_feed(deployment: Deployment, cursor: str) -> tuple[list[str], str]:
    """Return the studies that were announced behind a cursor, and the cursor of the feed's end."""
    announced: list[str] = []
    while True:
        answer = deployment.call("GET", "/events", params={"after": cursor} if cursor else {})
        expect(answer.status_code, 200, "GET /events")
        page = answer.json()
        if not page["events"]:
            return announced, cursor
        events = [event for event in page["events"] if event["type"] == "Exam Uploaded"]
        announced += [event["data"]["StudyInstanceUID"] for event in events]
        cursor = page["next"]


def dead_letters_go_back(deployment: Deployment) -> str:
    """A message that was set aside is sent again by the script, and is harmless."""
    sqs = deployment.aws("sqs")
    dead, alive = deployment.outputs["IngestDeadLetterQueue"], deployment.outputs["IngestQueue"]
    waiting = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    if int(waiting["ApproximateNumberOfMessages"]):
        raise Impossible("there are dead letters already: look at them, and send them again by scripts.redrive")
    bucket = deployment.outputs["StagingBucket"]
    named = {"key": f"uploads/{'0' * 32}/0001", "size": 1, "etag": "0" * 32}
    event = {"source": "aws.s3", "detail": {"bucket": {"name": bucket}, "object": named}}
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def waiting_for_ingest() -> int:
        counts = sqs.get_queue_attributes(QueueUrl=alive, AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)

    # Messages of others that are retried later may be there, and are none of this check's.
    before = waiting_for_ingest()
    sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(event))
    rang = _ring(deployment) if deployment.alarm else "no --alarm, so none was waited for"
    expect(redrive(dead, alive), 1, "messages sent again")
    deployment.wait(lambda: waiting_for_ingest() <= before, "the message is still in the queue")
    return f"1 sent again and worked off; {rang}"


def _ring(deployment: Deployment) -> str:
    """Wait until the alarm of dead letters rings; the metrics of an idle queue may take a quarter of an hour."""
    known = {"StackName": deployment.stack, "LogicalResourceId": "IngestDeadLetterAlarm"}
    resource = deployment.aws("cloudformation").describe_stack_resource(**known)["StackResourceDetail"]
    started, cloudwatch = time.monotonic(), deployment.aws("cloudwatch")

    def rings() -> bool:
        found = cloudwatch.describe_alarms(AlarmNames=[resource["PhysicalResourceId"]])["MetricAlarms"]
        return bool(found[0]["StateValue"] == "ALARM")

    deployment.wait(rings, "IngestDeadLetterAlarm does not ring", patience=1200)
    return f"the alarm rang after {time.monotonic() - started:.0f} s"


def dependencies_answer(deployment: Deployment) -> str:
    """The functions in the PACS's network reach the PACS, the tables and the secrets."""
    answer = deployment.call("GET", "/health", key=None)
    expect(answer.status_code, 200, "GET /health")
    uids = deployment.call("GET", "/uid")
    expect(uids.status_code, 200, "GET /uid")
    return f"health 200 in {answer.elapsed.total_seconds():.1f} s"


def logs_are_structured(deployment: Deployment) -> str:
    """Log lines are JSON with a level and a timestamp that Lambda reads."""
    if deployment.is_local:
        raise Impossible("the emulator writes no log group for functions")
    group = deployment.outputs["FunctionLogs"]

    def line() -> dict[str, str] | None:
        found = deployment.aws("logs").filter_log_events(
            logGroupName=group, filterPattern='{ $.service = "dicom-service" }', limit=1
        )
        return json.loads(found["events"][0]["message"]) if found.get("events") else None

    entry = deployment.wait(line, "there is no line")
    expect(entry["level"] in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR"), True, "level")
    datetime.fromisoformat(entry["timestamp"])
    return f"{entry['level']}, {entry['timestamp']}"


def by_hand(deployment: Deployment) -> str:
    """A second stack beside this one, an update without a change, and what stays after a deletion."""
    raise Impossible("by hand: deploy a second stack, update it without a change, delete it (docs/deploying.md)")


CHECKS: tuple[Check, ...] = (
    stack_and_region,
    presigned_hosts,
    an_upload_is_stored,
    a_zip_is_stored,
    a_wrong_checksum_is_rejected,
    long_bodies,
    errors_are_problems,
    custom_domain,
    a_code_opens_once,
    concurrent_files_count_once,
    events_come_once_and_in_order,
    dead_letters_go_back,
    dependencies_answer,
    logs_are_structured,
    by_hand,
)
