"""Reading instances: by the PACS's service or from the file, what is remembered, how much of a file is fetched."""

from collections.abc import Iterator

import pytest

from dicom_service.exams import instance_reader
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.instance_reader import InstanceReader
from dicom_service.pacs import connect
from dicom_service.settings import PacsSettings
from dicomweb.errors import NotFound, PacsFault
from tests.support.viewers import Archive, file_of, image

STUDY, SERIES = "1.2.1", "1.2.1.1"


@pytest.fixture
def archive() -> Archive:
    made = Archive()
    made.add(image("P1", STUDY, SERIES, rows=64, columns=64))
    return made


@pytest.fixture
def reader(archive: Archive) -> Iterator[InstanceReader]:
    with archive.server() as server:
        yield InstanceReader(connect(PacsSettings(url=server.url, total_timeout=5)), Capabilities())


def name_of(archive: Archive) -> InstanceName:
    return InstanceName(STUDY, SERIES, archive.instances[0].SOPInstanceUID)


def test_the_file_is_read_where_the_pacs_has_no_metadata_which_is_asked_for_once(
    reader: InstanceReader, archive: Archive
) -> None:
    assert reader.header(name_of(archive))["00100020"]["Value"] == ["P1"]
    assert (archive.asked["metadata"], archive.asked["file"]) == (1, 0)
    archive.lacks.add("metadata")
    for _ in range(3):
        assert reader.header(name_of(archive))["00100020"]["Value"] == ["P1"]
    assert (archive.asked["metadata"], archive.asked["file"]) == (2, 3)


def test_a_service_counts_as_missing_only_where_the_file_is_there(reader: InstanceReader, archive: Archive) -> None:
    archive.lacks |= {"metadata", "file"}
    for _ in range(2):
        with pytest.raises(NotFound):
            reader.header(name_of(archive))
    assert archive.asked["metadata"] == 2


def test_a_file_is_fetched_up_to_a_limit(
    reader: InstanceReader, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = file_of(archive.instances[0])
    monkeypatch.setattr(instance_reader, "LARGEST_FILE", len(content))
    with reader.open_file(name_of(archive)) as file:
        assert file.read() == content
    monkeypatch.setattr(instance_reader, "LARGEST_FILE", len(content) - 1)
    with pytest.raises(PacsFault), reader.open_file(name_of(archive)):
        pass


def test_the_beginning_is_checked_before_the_file_is_opened(reader: InstanceReader, archive: Archive) -> None:
    seen: list[bytes] = []

    def check(beginning: bytes) -> None:
        seen.append(beginning)
        raise PermissionError

    with pytest.raises(PermissionError), reader.open_file(name_of(archive), check_beginning=check):
        raise AssertionError("opened")
    assert len(seen) == 1 and file_of(archive.instances[0]).startswith(seen[0])
