"""Storing, in PACS that store half, store nothing and say so, or say something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from dicomweb.client import DicomwebClient, StorePart, StoreResult, Timeouts
from dicomweb.errors import (
    BodyUnreadable,
    DicomwebError,
    InvalidUid,
    NotSupported,
    PacsBusy,
    PacsFault,
    PacsRejectedCredentials,
    PacsTimeout,
    PacsUnreachable,
)
from dicomweb.multipart import MultipartReader
from dicomweb.stow import CANNOT_UNDERSTAND, PROCESSING_FAILURE
from tests.support.pacs import (
    Answer,
    FakePacs,
    Handler,
    Received,
    answer,
    cut_off,
    dicom_json,
    hang_up,
    html,
    reset,
    stall,
)

QUICK = Timeouts(connect=0.3, read=0.3, total=2.0)
PATIENT = Timeouts(connect=5.0, read=5.0, total=20.0)
CT = "1.2.840.10008.5.1.4.1.1.2"


def part(number: int, *, good: bool = True) -> StorePart:
    data = (b"good " if good else b"bad ") + b"1.4.%d " % number + b"\r\n--" * 5000
    return StorePart(CT, f"1.4.{number}", "1.2", f"1.3.{number % 2}", len(data), lambda: iter([data[:7], data[7:]]))


def client(pacs: FakePacs, timeouts: Timeouts = PATIENT) -> DicomwebClient:
    return DicomwebClient(pacs.url, timeouts=timeouts)


def files(received: Received) -> list[bytes]:
    reader = MultipartReader(iter([received.body]), received.headers["content-type"])
    found = []
    while reader.next_part() is not None:
        found.append(b"".join(reader.iter_part()))
    return found


def item(uid: str, **more: tuple[str, Any]) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [CT]},
        "00081155": {"vr": "UI", "Value": [uid]},
        **{tag.lstrip("t"): {"vr": vr, "Value": [value]} for tag, (vr, value) in more.items()},
    }


def listed(stored: Iterable[dict[str, Any]] = (), failed: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    document: dict[str, Any] = {"00081190": {"vr": "UR", "Value": ["http://pacs/studies/1.2"]}}
    if stored := list(stored):
        document["00081199"] = {"vr": "SQ", "Value": stored}
    if failed := list(failed):
        document["00081198"] = {"vr": "SQ", "Value": failed}
    return document


class Archive:
    """A PACS that really keeps what is good and can be searched; each product tells of it in its own way."""

    def __init__(self, manner: str) -> None:
        self.manner = manner
        self.kept: set[str] = set()
        self.stores = 0

    def __call__(self, handler: Handler, received: Received) -> None:
        if received.method == "GET":
            wanted = received.query["SOPInstanceUID"].split(",")
            rows = [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in wanted if uid in self.kept]
            dicom_json(rows)(handler, received)
            return
        self.stores += 1
        good = [f.split()[1].decode() for f in files(received) if f.startswith(b"good ")]
        bad = [f.split()[1].decode() for f in files(received) if f.startswith(b"bad ")]
        getattr(self, self.manner)(good, bad)(handler, received)

    def orthanc(self, good: list[str], bad: list[str]) -> Answer:
        """400 without a body when anything is unreadable, though the rest is kept."""
        self.kept.update(good)
        return answer(400) if bad else dicom_json(listed(item(uid) for uid in good))

    def orthanc_first(self, good: list[str], bad: list[str]) -> Answer:
        """Stops at the first that it cannot read."""
        self.kept.update([] if bad else good)
        return answer(400) if bad else dicom_json(listed(item(uid) for uid in good))

    def silent(self, good: list[str], bad: list[str]) -> Answer:
        """200 and empty lists, and half of it is lost."""
        self.kept.update(good if len(good) + len(bad) == 1 else good[:1])
        return dicom_json({"00081199": {"vr": "SQ"}, "00081198": {"vr": "SQ"}})

    def dcm4chee(self, good: list[str], bad: list[str]) -> Answer:
        """Names what it cannot read by a UID of its own."""
        self.kept.update(good)
        failed = [item(f"2.25.{n}", t00081197=("US", 0xC000)) for n, _ in enumerate(bad)]
        status = 200 if not bad else 202 if good else 409
        return dicom_json(listed((item(uid) for uid in good), failed), status)

    def no_body(self, good: list[str], bad: list[str]) -> Answer:
        """409 or 202 without saying which."""
        self.kept.update(good)
        return answer(409 if bad and not good else 202 if bad else 200)

    def page(self, good: list[str], bad: list[str]) -> Answer:
        """Fails with an error page when anything is unreadable."""
        self.kept.update([] if bad else good)
        return html(500) if bad else dicom_json(listed(item(uid) for uid in good))


def outcome(result: StoreResult) -> list[bool]:
    return [instance.stored for instance in result.instances]


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("orthanc", CANNOT_UNDERSTAND),
        ("orthanc_first", CANNOT_UNDERSTAND),
        ("silent", PROCESSING_FAILURE),
        ("dcm4chee", CANNOT_UNDERSTAND),
        ("no_body", CANNOT_UNDERSTAND),
        ("page", PROCESSING_FAILURE),
    ],
)
def test_one_bad_file_never_hides_or_blocks_the_others(manner: str, reason: int) -> None:
    archive = Archive(manner)
    with FakePacs(archive) as pacs:
        result = client(pacs).store_instances([part(1), part(2, good=False), part(3)])
    assert outcome(result) == [True, False, True]
    assert [i.sop_instance_uid for i in result.instances] == ["1.4.1", "1.4.2", "1.4.3"]
    assert archive.kept == {"1.4.1", "1.4.3"}
    assert result.instances[1].failure_reason == reason
    assert not result.all_stored
    assert not result.none_stored


@pytest.mark.parametrize("manner", ["orthanc", "orthanc_first", "dcm4chee", "no_body"])
def test_all_bad_is_a_result_too(manner: str) -> None:
    with FakePacs(Archive(manner)) as pacs:
        result = client(pacs).store_instances([part(1, good=False), part(2, good=False)])
        alone = client(pacs).store_instances([part(1, good=False)])
    assert result.none_stored
    assert {i.failure_reason for i in (*result.instances, *alone.instances)} == {0xC000}


def test_pacs_that_fails_on_every_file_is_a_fault_and_every_file_was_tried() -> None:
    archive = Archive("page")
    with FakePacs(archive) as pacs, pytest.raises(PacsFault):
        client(pacs).store_instances([part(1, good=False), part(2, good=False)])
    assert archive.stores == 3


def test_all_good_takes_one_request() -> None:
    document = listed([item("1.4.1", t00081190=("UR", "http://pacs/1.4.1")), item("1.4.2", t00081196=("US", 0xB000))])
    with FakePacs(dicom_json(document)) as pacs:
        result = client(pacs).store_instances([part(1), part(2)])
    (received,) = pacs.received
    assert files(received) == [b"".join(part(1).open()), b"".join(part(2).open())]
    assert re.fullmatch(r'multipart/related; type="application/dicom"; boundary=\w+', received.headers["content-type"])
    assert int(received.headers["content-length"]) == len(received.body)
    assert "transfer-encoding" not in received.headers
    assert received.headers["accept"] == "application/dicom+json"
    assert received.path == "/dicom-web/studies"
    assert result.all_stored
    assert result.instances[0].retrieve_url == "http://pacs/1.4.1"
    assert result.instances[1].warning_reason == 0xB000
    assert result.study_url == "http://pacs/studies/1.2"


def test_dataset_of_a_mixed_result() -> None:
    document = listed([item("1.4.1")], [item("1.4.2", t00081197=("US", 0xA700))])
    with FakePacs(dicom_json(document, 202)) as pacs:
        result = client(pacs).store_instances([part(1), part(2)])
    assert result.to_dataset() == document
    assert json.dumps(result.to_dataset())


@pytest.mark.parametrize("status", [200, 202, 400, 409, 500, 503, 401])
def test_lists_are_read_whatever_the_status(status: int) -> None:
    with FakePacs(dicom_json(listed([item("1.4.1")], [item("1.4.2", t00081197=("US", 0x0122))]), status)) as pacs:
        result = client(pacs).store_instances([part(1), part(2)])
    assert outcome(result) == [True, False]
    assert result.instances[1].failure_reason == 0x0122


@pytest.mark.parametrize("code", [45070, 45071, 0x0111])
@pytest.mark.parametrize("status", [202, 409])
def test_what_the_pacs_has_already_counts_as_stored(code: int, status: int) -> None:
    with FakePacs(dicom_json(listed(failed=[item("1.4.1", t00081197=("US", code))]), status)) as pacs:
        result = client(pacs).store_instances([part(1)])
    assert result.all_stored
    assert "00081198" not in result.to_dataset()


def test_same_file_twice_in_one_call() -> None:
    with FakePacs(Archive("orthanc")) as pacs:
        assert outcome(client(pacs).store_instances([part(1), part(1)])) == [True, True]
    failed_copy = listed([item("1.4.1")], [item("1.4.1", t00081197=("US", 0x0110))])
    with FakePacs(dicom_json(failed_copy, 202)) as pacs:
        assert outcome(client(pacs).store_instances([part(1), part(1)])) == [True, True]


@pytest.mark.parametrize("trouble", [reset, hang_up, answer(503), answer(429, Retry_After="0"), cut_off(b"{", 500)])
def test_store_is_tried_again_with_its_whole_body(trouble: Answer) -> None:
    with FakePacs(trouble, Archive("orthanc")) as pacs:
        assert client(pacs).store_instances([part(1), part(2)]).all_stored
    assert len(pacs.received) == 2
    assert [len(r.body) for r in pacs.received] == [int(r.headers["content-length"]) for r in pacs.received]
    assert files(pacs.received[0]) == files(pacs.received[1])


def test_stored_but_every_answer_lost_is_found_out_by_asking() -> None:
    """GIVEN a PACS that stores and then drops the connection, always WHEN asked what it has THEN that counts."""
    archive = Archive("orthanc")

    def stores_and_drops(handler: Handler, received: Received) -> None:
        if received.method == "GET":
            archive(handler, received)
            return
        archive.kept.update(f.split()[1].decode() for f in files(received))
        handler.reset()

    with FakePacs(stores_and_drops) as pacs:
        assert client(pacs).store_instances([part(1), part(2)]).all_stored


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (reset, PacsUnreachable),
        (stall, PacsTimeout),
        (answer(401), PacsRejectedCredentials),
        (answer(403), PacsRejectedCredentials),
        (answer(404), NotSupported),
        (answer(405), NotSupported),
        (answer(501), NotSupported),
        (answer(503, Retry_After="60"), PacsBusy),
        (html(500), PacsFault),
        (answer(307, Location="/elsewhere"), PacsFault),
    ],
)
def test_trouble_before_anything_is_known_is_raised(trouble: Answer, error: type[DicomwebError]) -> None:
    with FakePacs(trouble) as pacs, pytest.raises(error):
        client(pacs, QUICK if trouble is stall else PATIENT).store_instances([part(1), part(2)])
    assert {r.path for r in pacs.received if r.method == "POST"} == {"/dicom-web/studies"}


def test_trouble_after_something_is_known_keeps_what_is_known() -> None:
    half = dicom_json(listed([item("1.4.1")]), 202)
    with FakePacs(half, answer(503, Retry_After="60")) as pacs:
        result = client(pacs).store_instances([part(1), part(2)])
    assert outcome(result) == [True, False]
    assert result.instances[1].failure_reason == 0x0110


def test_html_in_place_of_an_answer_is_not_success() -> None:
    with FakePacs(html(), dicom_json([])) as pacs:
        result = client(pacs).store_instances([part(1)])
    assert result.none_stored


def test_pacs_that_may_not_be_searched() -> None:
    def write_only(handler: Handler, received: Received) -> None:
        (answer(403) if received.method == "GET" else answer(400))(handler, received)

    with FakePacs(write_only) as pacs:
        assert client(pacs).store_instances([part(1), part(2)]).none_stored


def test_too_long_is_told_apart() -> None:
    with FakePacs(answer(413), dicom_json([])) as pacs:
        pacs_result = client(pacs)
        assert pacs_result.store_instances([part(1)]).instances[0].failure_reason in (0xA700,)


def test_file_that_cannot_be_read_is_not_blamed_on_the_pacs() -> None:
    def broken() -> Iterator[bytes]:
        yield b"good"
        raise OSError

    with FakePacs(Archive("orthanc")) as pacs, pytest.raises(BodyUnreadable):
        client(pacs).store_instances([StorePart(CT, "1.4.1", "1.2", "1.3", 100, broken)])


def test_study_in_the_path() -> None:
    with FakePacs(Archive("orthanc")) as pacs:
        client(pacs).store_instances([part(1)], study_uid="1.2")
        with pytest.raises(InvalidUid):
            client(pacs).store_instances([part(1)], study_uid="../1")
    assert [r.path for r in pacs.received] == ["/dicom-web/studies/1.2"]


def test_nothing_to_store() -> None:
    with FakePacs(answer(500)) as pacs:
        assert client(pacs).store_instances([]).instances == ()
    assert pacs.received == []
