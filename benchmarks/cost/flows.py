"""The flows that are counted: an exam from its first request to the webhook of its announcement.

What AWS does between the functions is added by its own rules: an object's event is one message that EventBridge sends
to the queue, and a queue's batch is received and deleted by tens.
"""

import io
import json
import math
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.endpoint import Endpoint

from benchmarks.cost.counting import Counted, counting
from dicom_service import aws
from dicom_service.notifications.announce import Announcer, AnnounceSettings
from dicom_service.notifications.publish import Publisher, PublishSettings
from dicom_service.storing.request_files import UploadedFile
from dicom_service.storing.store_files import store_files
from tests.support import cloud as clouds
from tests.support import notifications as stub
from tests.support.dicom_files import dataset, element, part10
from tests.support.uploads import World, cloud

BATCH = 100
_MIB = 1024 * 1024
_STUDY = "1.2.3"
# Of POST /exams (functions/upload_exam), less what the form itself takes.
_LARGEST_BODY = 4_400_000


@dataclass(frozen=True)
class Flow:
    """A way for an exam into the PACS.

    Parameters
    ----------
    name
        As in the table.
    files
        How many objects the client sends to S3.
    instances, megabytes
        Of the exam.
    zipped, dropped, direct
        Whether the files are one ZIP, whether they are dropped instead of uploaded, and whether they are bodies of
        ``POST /exams``, as many in one as it takes.
    """

    name: str
    files: int
    instances: int
    megabytes: float
    zipped: bool = False
    dropped: bool = False
    direct: bool = False

    @property
    def per_request(self) -> int:
        """How many files fit into one request of ``POST /exams``."""
        return int(_LARGEST_BODY // (self.megabytes * 1e6 / self.instances))


FLOWS = (
    Flow("CT 300 × 0.5 MB, a form each", 300, 300, 150),
    Flow("CT 300 × 0.5 MB, one ZIP", 1, 300, 150, zipped=True),
    Flow("CT 300 × 0.5 MB, dropped", 300, 300, 150, dropped=True),
    Flow("CR 1 × 15 MB, a form", 1, 1, 15),
    Flow("CT 300 × 0.5 MB, POST /exams", 300, 300, 150, direct=True),
)


def count(flow: Flow) -> Counted:
    """Run a flow in process and return what it is billed for; fail where the exam is not announced."""
    with pytest.MonkeyPatch.context() as patch, cloud(patch) as world:
        world.claims = True
        _one_at_a_time(patch)
        aws.events().create_event_bus(Name=stub.BUS)
        contents = _contents(flow)
        packed = [_zip(contents)] if flow.zipped else contents
        with counting() as counted:
            if flow.direct:
                _post(world, flow, contents, counted)
            else:
                _arrive(world, flow, packed, counted)
            _announce(world, flow, counted)
        if len(world.pacs.stored) != flow.instances or counted["EventBridge"] < 1:
            raise RuntimeError(f"{flow.name}: the exam did not come through")
    return counted


def _one_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """Let moto answer one request after the other: its transactions copy the tables, whatever else writes to them."""
    lock, send = threading.RLock(), Endpoint.make_request

    def locked(endpoint: Endpoint, model: Any, request: Any) -> Any:
        with lock:
            return send(endpoint, model, request)

    patch.setattr(Endpoint, "make_request", locked)


def _contents(flow: Flow) -> list[bytes]:
    # A file below 1 MiB costs the same requests, whatever its size.
    pixels = bytes(int(flow.megabytes * _MIB) if flow.instances == 1 else 2)
    end = element(0x7FE00010, b"OW", pixels)
    return [
        part10(dataset(SOPInstanceUID=f"1.2.3.4.{number}".encode()) + end) for number in range(1, flow.instances + 1)
    ]


def _zip(contents: Sequence[bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number:04d}.dcm", content)
    return buffer.getvalue()


def _arrive(world: World, flow: Flow, contents: Sequence[bytes], counted: Counted) -> None:
    if flow.dropped:
        for number, content in enumerate(contents):
            world.put(f"drop/{number}.dcm", content)
        prefix = "drop/"
    else:
        prefix = f"uploads/{world.open(contents)}/"
        counted["API calls"] += 1
        if flow.zipped:
            # Parts of 64 MiB: the open, the parts and the completion, instead of one form.
            counted["S3 PUT"] += 1 + math.ceil(flow.megabytes / 64)
            # A ZIP of this size is read forward by more requests than the small one here (docs/reliability.md).
            counted["S3 GET"] += 12
            counted["API calls"] += 1
    with _unbilled(counted):
        events = world.events(prefix)
    counted["SQS"] += len(events)
    for start in range(0, len(events), BATCH):
        batch = events[start : start + BATCH]
        if world.deliver(batch):
            raise RuntimeError(f"{flow.name}: files are left")
        _worked_off(counted, len(batch))


def _post(world: World, flow: Flow, contents: Sequence[bytes], counted: Counted) -> None:
    """Send the files as bodies of ``POST /exams``."""
    files = [UploadedFile(f"{number}.dcm", content) for number, content in enumerate(contents)]
    for start in range(0, len(files), flow.per_request):
        body = files[start : start + flow.per_request]
        stored = store_files(body, world.pacs, world.registry(), world.admission())
        if not stored.complete:
            raise RuntimeError(f"{flow.name}: files are left")
        counted["API calls"] += 1


def _announce(world: World, flow: Flow, counted: Counted) -> None:
    settings = AnnounceSettings(
        exams_table="Exams",
        events_table="ExamEvents",
        checks_queue_url=world.exam_settings.checks_queue_url,
        dead_checks_queue_url=clouds.queue("dead-checks"),
        quiet_period=0,
    )
    pacs = stub.Pacs(studies={_STUDY: {"1.2.3.4": flow.instances}})
    announcer = Announcer(settings, pacs, reconcile=lambda *_: None, watch=lambda *_: None)
    with _unbilled(counted):
        checks = stub.drain(settings.checks_queue_url)
    for check in checks:
        announcer.handle(json.loads(check["Body"]), 1)
        _worked_off(counted, 1)
    publisher = Publisher(PublishSettings("ExamEvents", stub.BUS))
    with _unbilled(counted):  # the table's stream brings them
        pending = publisher.leftovers(-(10**9))
    publisher.publish(pending)
    counted["invocations"] += 1
    # The rule sends the event to the queue of webhooks, from there one message goes to one URL.
    counted["SQS"] += 2
    for _ in range(2):
        _worked_off(counted, 1)


def _worked_off(counted: Counted, messages: int) -> None:
    """Count the receives and deletes of a batch, by tens, and the function's call."""
    counted["SQS"] += 2 * math.ceil(messages / 10)
    counted["invocations"] += 1


@contextmanager
def _unbilled(counted: Counted) -> Iterator[None]:
    """Leave out what only this harness asks for."""
    before = dict(counted)
    yield
    counted.clear()
    counted.update(before)
