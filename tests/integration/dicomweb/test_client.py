"""The client against a real Orthanc, with the quirk that this Orthanc needs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

from dicomweb.auth import make_auth
from dicomweb.client import DicomwebClient, Quirks, StorePart, Timeouts
from dicomweb.dataset import text, value
from dicomweb.errors import NotFound, NotSupported, PacsRejectedCredentials, PacsUnreachable
from local.orthanc import Orthanc
from tests.support.dicom_files import ct_image, saved
from tests.support.stack import temporary_settings

NAMES = ["O'NEILL^MARY", "MÜLLER^JÖRG", "ROSSI^MARIO", "ROSSI^MARIA", "DE LA CRUZ^ANA", "山田^太郎", "Ковалёв^Пётр"]
PATIENT_NAME, PATIENT_ID = "00100010", "00100020"
STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"


def connect(server: Orthanc, password: str | None = None, **options: Any) -> DicomwebClient:
    pacs = server.pacs()
    auth = make_auth("basic", {"username": pacs.user, "password": password or pacs.password})
    return DicomwebClient(pacs.url, auth=auth, quirks=Quirks.parse(pacs.quirks), **options)


@pytest.fixture
def client(orthanc: Orthanc) -> Iterator[DicomwebClient]:
    client = connect(orthanc)
    yield client
    client.close()


def file(number: int, study: int = 1, **attributes: str) -> bytes:
    """CT_small.dcm under UIDs of its own."""
    uids = {"StudyInstanceUID": f"1.2.{study}", "SeriesInstanceUID": f"1.2.{study}.1"}
    uids["SOPInstanceUID"] = f"{uids['SeriesInstanceUID']}.{number}"
    values = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": f"P{study}", **uids, **attributes}
    return saved(ct_image(**values))


def part(data: bytes) -> StorePart:
    dataset = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    return StorePart(
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        size=len(data),
        open=lambda: iter((data[:1000], data[1000:])),
    )


def unreadable(number: int) -> StorePart:
    uid = f"1.2.1.1.{number}"
    return StorePart("1.2.840.10008.5.1.4.1.1.2", uid, "1.2.1", "1.2.1.1", 500, lambda: iter((b"not DICOM!" * 50,)))


@pytest.fixture
def named(client: DicomwebClient) -> DicomwebClient:
    """Holds one study for each name."""
    files = [file(1, n, PatientName=name, AccessionNumber=f"A {n}/1") for n, name in enumerate(NAMES, 1)]
    assert client.store_instances([part(data) for data in files]).all_stored
    return client


def test_stored_file_comes_back_byte_for_byte(client: DicomwebClient) -> None:
    data = file(1)
    result = client.store_instances([part(data)])
    assert result.all_stored
    assert result.instances[0].retrieve_url
    with client.retrieve_instance("1.2.1", "1.2.1.1", "1.2.1.1.1") as stream:
        assert b"".join(stream.iter_bytes(10_000)) == data
    assert value(client.retrieve_instance_metadata("1.2.1", "1.2.1.1", "1.2.1.1.1"), PATIENT_ID) == "P1"


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_found_and_only_it(named: DicomwebClient, name: str) -> None:
    found = named.search_for_studies({"PatientName": name}, limit=100)
    assert [text(row, PATIENT_NAME) for row in found.datasets] == [name]
    assert not found.more


@pytest.mark.parametrize(
    ("keyword", "wanted", "patients"),
    [
        ("PatientName", "rossi*", {"P3", "P4"}),
        ("PatientName", "M?LLER^*", {"P2"}),
        ("PatientName", "müller^jörg", {"P2"}),
        ("PatientName", "*", {f"P{n}" for n in range(1, 8)}),
        ("PatientName", "ROSSI", set()),
        ("PatientID", "P3", {"P3"}),
        ("PatientID", "P*", {f"P{n}" for n in range(1, 8)}),
        ("AccessionNumber", "A 5/1", {"P5"}),
        ("StudyInstanceUID", "1.2.2,1.2.6", {"P2", "P6"}),
        ("StudyDate", "20040101-20041231", {f"P{n}" for n in range(1, 8)}),
        ("StudyDate", "-20031231", set()),
    ],
)
def test_search_values(named: DicomwebClient, keyword: str, wanted: str, patients: set[str]) -> None:
    found = named.search_for_studies({keyword: wanted}, limit=100)
    assert {value(row, PATIENT_ID) for row in found.datasets} == patients


def test_pages_hold_every_study_once(named: DicomwebClient) -> None:
    pages = [named.search_for_studies(limit=3, offset=offset) for offset in (0, 3, 6)]
    assert [len(page.datasets) for page in pages] == [3, 3, 1]
    assert [page.more for page in pages] == [True, True, False]
    assert {value(row, STUDY_UID) for page in pages for row in page.datasets} == {f"1.2.{n}" for n in range(1, 8)}


def test_pages_of_a_search_that_is_compared_here(client: DicomwebClient) -> None:
    names = ["A B", "AXB"] * 4
    files = [file(1, n, PatientName=name) for n, name in enumerate(names, 1)]
    assert client.store_instances([part(data) for data in files]).all_stored
    pages = [client.search_for_studies({"PatientName": "A B"}, limit=3, offset=offset) for offset in (0, 3)]
    assert [(len(page.datasets), page.more) for page in pages] == [(3, True), (1, False)]
    assert {value(row, STUDY_UID) for page in pages for row in page.datasets} == {"1.2.1", "1.2.3", "1.2.5", "1.2.7"}


def test_series_and_instances(client: DicomwebClient) -> None:
    client.store_instances([part(file(1)), part(file(2))])
    (series,) = client.search_for_series("1.2.1").datasets
    assert value(series, SERIES_UID) == "1.2.1.1"
    for series_uid in (None, "1.2.1.1"):
        found = client.search_for_instances("1.2.1", series_uid)
        assert {value(row, INSTANCE_UID) for row in found.datasets} == {"1.2.1.1.1", "1.2.1.1.2"}


def test_unknown_objects(client: DicomwebClient) -> None:
    client.store_instances([part(file(1))])
    ids = ("1.2.1", "1.2.1.1", "1.2.1.1.99")
    assert client.search_for_series("1.2.99").datasets == []
    assert client.search_for_instances("1.2.1", "1.2.99").datasets == []
    for fetch in (client.retrieve_instance_metadata, client.retrieve_instance, client.retrieve_frame):
        with pytest.raises(NotFound):
            fetch(*ids)
    with pytest.raises(NotFound):
        client.retrieve_rendered(*ids)
    with pytest.raises(NotFound):
        client.retrieve_frame("1.2.1", "1.2.1.1", "1.2.1.1.1", 2)


def test_frame_and_rendered_image(client: DicomwebClient) -> None:
    data = file(1)
    client.store_instances([part(data)])
    ids = ("1.2.1", "1.2.1.1", "1.2.1.1.1")
    frame = client.retrieve_frame(*ids)
    assert frame.data == pydicom.dcmread(BytesIO(data)).PixelData
    assert (frame.media_type, frame.transfer_syntax_uid) == ("application/octet-stream", "1.2.840.10008.1.2.1")
    image = client.retrieve_rendered(*ids, viewport=(64, 64), window=(40, 400, "linear"))
    assert image.media_type == "image/jpeg"
    assert image.data.startswith(b"\xff\xd8")
    assert client.retrieve_rendered(*ids, frame=1, media_type="image/png").data.startswith(b"\x89PNG")
    with pytest.raises(NotSupported):
        client.retrieve_thumbnail(*ids, viewport=(64, 64))


def test_compressed_frame_comes_as_it_is_stored(client: DicomwebClient) -> None:
    data = Path(str(get_testdata_file("MR_small_jp2klossless.dcm"))).read_bytes()
    sent = part(data)
    assert client.store_instances([sent]).all_stored
    frame = client.retrieve_frame(sent.study_instance_uid, sent.series_instance_uid, sent.sop_instance_uid)
    assert frame.transfer_syntax_uid == "1.2.840.10008.1.2.4.90"
    assert frame.data.startswith(b"\xff\x4f\xff\x51")


def test_unreadable_parts_neither_hide_nor_block_the_others(client: DicomwebClient) -> None:
    parts = [part(file(1)), unreadable(50), part(file(2)), unreadable(51), part(file(3))]
    result = client.store_instances(parts)
    assert [instance.stored for instance in result.instances] == [True, False, True, False, True]
    assert len(client.search_for_instances("1.2.1").datasets) == 3
    assert client.store_instances([unreadable(50)]).none_stored


def test_the_same_file_again_does_no_harm(client: DicomwebClient) -> None:
    for _ in range(2):
        assert client.store_instances([part(file(1)), part(file(1))]).all_stored
    assert len(client.search_for_instances("1.2.1").datasets) == 1


def test_file_of_another_study_is_refused(client: DicomwebClient) -> None:
    assert client.store_instances([part(file(1))], study_uid="1.2.77").none_stored


def test_many_threads_share_a_client(client: DicomwebClient) -> None:
    parts = [part(file(n, n % 5)) for n in range(40)]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda one: client.store_instances([one]), parts))
    assert all(result.all_stored for result in results)
    assert sum(len(client.search_for_instances(f"1.2.{n}").datasets) for n in range(5)) == 40


def test_idle_connection_that_orthanc_has_closed(client: DicomwebClient) -> None:
    """GIVEN Orthanc's one second of keep-alive WHEN the client comes back around its end THEN nothing is lost."""
    for pause in (0.5, 0.95, 1.0, 1.05, 1.3):
        time.sleep(pause)
        assert client.store_instances([part(file(1))]).all_stored


def test_wrong_password(orthanc: Orthanc) -> None:
    client = connect(orthanc, "wrong")
    with pytest.raises(PacsRejectedCredentials):
        client.ping()
    with pytest.raises(PacsRejectedCredentials):
        client.store_instances([part(file(1))])


def test_wrong_address(orthanc: Orthanc) -> None:
    pacs = orthanc.pacs()
    auth = make_auth("basic", {"username": pacs.user, "password": pacs.password})
    client = DicomwebClient(f"{orthanc.url}/elsewhere", auth=auth)
    with pytest.raises(NotSupported):
        client.ping()
    with pytest.raises(NotSupported):
        client.store_instances([part(file(1))])


def test_pacs_that_comes_and_goes() -> None:
    with temporary_settings() as settings:
        server = Orthanc(settings)
        client = connect(server, timeouts=Timeouts(connect=1, read=10, total=15))
        with pytest.raises(PacsUnreachable):
            client.ping()
        with running(server):
            assert client.store_instances([part(file(1))]).all_stored
        with pytest.raises(PacsUnreachable):
            client.ping()
        with running(server):
            assert len(client.search_for_studies().datasets) == 1


@contextmanager
def running(server: Orthanc) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()
