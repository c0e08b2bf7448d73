"""What is in an archive: files as the PACS has them, a DICOMDIR that readers accept, a page that needs nothing else."""

import gc
import io
import re
import subprocess
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicom_service import aws
from dicom_service.archive import contents
from dicom_service.aws.sqs_worker import Done
from tests.support.archives import CACHE, PDF_BYTES, STUDY, World, file_of, pdf_report, slices, structured_report

FILE_ID = re.compile(r"[A-Z0-9_]{1,8}(/[A-Z0-9_]{1,8}){0,7}")


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    """The unpacked archive of an exam of five slices and two reports."""
    world.pacs.add(*slices(5), structured_report(), pdf_report())
    world.begin()
    assert world.build() == Done()
    archive = world.zip()
    assert archive.testzip() is None
    archive.extractall(tmp_path)
    return tmp_path


def test_every_file_is_there_as_the_pacs_has_it(world: World, folder: Path) -> None:
    found = {dcmread(path).SOPInstanceUID: path.read_bytes() for path in folder.glob("DICOM/*/*")}
    assert len(found) == 7
    assert found == {uid: one["file"] for uid, one in world.pacs.files.items()}
    assert world.archive().size == aws.s3().head_object(Bucket=CACHE, Key=world.archive().key)["ContentLength"]


def test_paths_are_those_of_media(folder: Path) -> None:
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    dicom = [path for path in paths if path.startswith("DICOM")]
    assert len(dicom) == 8
    assert all(FILE_ID.fullmatch(path) for path in dicom)
    assert set(paths) - set(dicom) == {"index.html", "README.TXT", "REPORTS/RP000001.PDF"}


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_pydicom_reads_the_file_set_and_opens_each_instance_by_it(folder: Path) -> None:
    file_set = FileSet(folder / "DICOMDIR")

    assert file_set.find_values("PatientID") == ["P-1"]
    assert file_set.find_values("StudyInstanceUID") == [STUDY]
    assert sorted(file_set.find_values("SeriesInstanceUID")) == [f"{STUDY}.1", f"{STUDY}.8", f"{STUDY}.9"]
    assert len(file_set) == 7
    for instance in file_set:
        assert instance.load().SOPInstanceUID == instance.ReferencedSOPInstanceUIDInFile
    types = sorted(instance.node.record_type for instance in file_set)
    assert types == ["ENCAP DOC"] + ["IMAGE"] * 5 + ["SR DOCUMENT"]
    # It holds a folder that it only removes when it goes.
    del file_set, instance
    gc.collect()


def test_names_of_patients_keep_their_characters(folder: Path) -> None:
    record = dcmread(folder / "DICOMDIR").DirectoryRecordSequence[0]
    assert record.PatientName == "Günther^Änne"


def test_dcmtk_reads_the_dicomdir(folder: Path) -> None:
    read = subprocess.run(["dcmdump", "DICOMDIR"], cwd=folder, capture_output=True, encoding="latin-1", check=False)
    assert (read.returncode, read.stderr) == (0, "")
    assert read.stdout.count("DirectoryRecordType") == 1 + 1 + 3 + 7
    assert read.stdout.count("[IMAGE ]") + read.stdout.count("[IMAGE]") == 5


def test_the_page_shows_pictures_and_reports_and_asks_nobody(folder: Path) -> None:
    page = (folder / "index.html").read_text()

    assert page.count("data:image/jpeg;base64,/9j/") == 5
    assert not re.search(r"https?://|src=\"/|@import|url\(", page)
    # Values are text, never markup.
    assert "Head &lt;native&gt;" in page
    assert "Nodule &lt;5 mm &amp; stable" in page
    assert "Günther Änne" in page
    for path in re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page):
        assert (folder / path).is_file(), path
    assert (folder / "REPORTS/RP000001.PDF").read_bytes() == PDF_BYTES


def test_of_a_long_series_pictures_are_taken_evenly(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_OF_SERIES", 3)
    world.pacs.add(*slices(9))
    world.begin()
    assert world.build() == Done()

    page = world.zip().read("index.html").decode()

    assert re.findall(r'alt="Picture (\d) of 9"', page) == ["3", "6", "9"]


def test_a_file_that_lacks_what_a_record_needs_is_in_the_dicomdir_all_the_same(world: World, tmp_path: Path) -> None:
    # GIVEN a slice without numbers, dates and StudyID, and one that is no DICOM at all
    dataset = dcmread(io.BytesIO(slices(1)[0]))
    for keyword in ("StudyID", "StudyDate", "StudyTime", "SeriesNumber", "InstanceNumber", "Modality"):
        delattr(dataset, keyword)
    world.pacs.add(file_of(dataset))
    broken = {"file": b"no DICOM", "study": STUDY, "series": f"{STUDY}.1", "number": 7, "patient": ""}
    world.pacs.files[f"{STUDY}.1.7"] = broken
    world.begin()
    assert world.build() == Done()
    archive: zipfile.ZipFile = world.zip()
    archive.extractall(tmp_path)

    records = dcmread(tmp_path / "DICOMDIR").DirectoryRecordSequence

    images = [record for record in records if record.DirectoryRecordType == "IMAGE"]
    assert [record.ReferencedSOPInstanceUIDInFile for record in images] == [f"{STUDY}.1.7", f"{STUDY}.1.1"]
    assert all(record.InstanceNumber is not None for record in images)


def test_a_file_with_a_number_of_three_bytes_costs_its_picture_or_report_and_not_the_archive(world: World) -> None:
    # GIVEN a slice whose Rows, and a report whose document's length, have a byte less than a number
    slice_, report = slices(1)[0], pdf_report()
    for file, element in ((slice_, b"\x28\x00\x10\x00US\x02\x00"), (report, b"\x42\x00\x15\x00UL\x04\x00")):
        at = file.index(element) + len(element)
        world.pacs.add(file)
        held = next(one for one in world.pacs.files.values() if one["file"] == file)
        held["file"] = file[: at - 2] + bytes([file[at - 2] - 1, 0]) + file[at + 1 :]
    world.begin()

    assert world.build() == Done()

    names = world.zip().namelist()
    assert [name for name in names if name.startswith("DICOM/")] and "REPORTS/RP000001.PDF" not in names


def deflated(content: bytes, behind: bytes = b"", zeros: int = 0) -> bytes:
    """Return the file deflated, behind its last element another, of a value of zeros."""
    dataset = dcmread(io.BytesIO(content))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    if not zeros:
        return file_of(dataset)
    whole = file_of(dataset)
    # Behind the file meta information, whose length its first element has.
    start = 144 + int.from_bytes(whole[140:144], "little")
    compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    pieces = [compress.compress(zlib.decompress(whole[start:], -zlib.MAX_WBITS) + behind)]
    pieces += [compress.compress(bytes(1 << 20)) for _ in range(zeros >> 20)]
    return whole[:start] + b"".join(pieces) + compress.flush()


def test_a_deflated_slice_and_a_deflated_report_are_shown(world: World) -> None:
    world.pacs.add(deflated(slices(1)[0]), deflated(structured_report()), deflated(pdf_report()))
    world.begin()
    assert world.build() == Done()
    page = world.zip().read("index.html").decode()
    assert page.count("data:image/jpeg;base64,/9j/") == 1
    assert "Günther Änne" in page
    assert "Nodule &lt;5 mm &amp; stable" in page
    assert world.zip().read("REPORTS/RP000001.PDF") == PDF_BYTES


def test_an_image_that_is_not_deflated_has_its_picture_however_large_a_deflated_one_may_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_LARGEST_INFLATED_IMAGE", 128 * 128)
    one, other = slices(2)
    world.pacs.add(one, deflated(other))
    world.begin()
    assert world.build() == Done()
    page = world.zip().read("index.html").decode()
    assert re.findall(r'alt="Picture (\d) of 2"', page) == ["1"]


def test_a_deflated_bomb_costs_its_report_or_picture_and_not_the_memory(world: World) -> None:
    # GIVEN reports and a slice of which some 100 KiB in the PACS become 128 MiB, in an element behind all that is shown
    zeros = 128 << 20
    behind = b"\xfc\xff\xfc\xffOB\0\0" + zeros.to_bytes(4, "little")
    bombs = [deflated(file, behind, zeros) for file in (slices(1)[0], structured_report(), pdf_report())]
    assert all(len(bomb) < 1 << 20 for bomb in bombs)
    for number, bomb in enumerate(bombs, 7):
        values = {"study": STUDY, "series": f"{STUDY}.{number}", "number": 1, "patient": "P-1"}
        world.pacs.files[f"{STUDY}.{number}.1"] = {**values, "file": bomb}
    world.pacs.add(*slices(2)[1:])
    world.begin()

    tracemalloc.start()
    try:
        assert world.build() == Done()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # THEN the files are in the ZIP and in the DICOMDIR, by what stands at their beginning, and are not shown
    assert most < zeros
    names = [name for name in world.zip().namelist() if name.startswith("DICOM/")]
    assert sorted(world.zip().read(name) for name in names) == sorted(one["file"] for one in world.pacs.files.values())
    records = dcmread(io.BytesIO(world.zip().read("DICOMDIR"))).DirectoryRecordSequence
    kinds = [record.DirectoryRecordType for record in records]
    assert kinds.count("PATIENT") == 1 and {"SR DOCUMENT", "ENCAP DOC", "IMAGE"} < set(kinds)
    page = world.zip().read("index.html").decode()
    assert "Nodule" not in page and page.count("data:image/jpeg;base64,/9j/") == 1
    assert "REPORTS/RP000001.PDF" not in world.zip().namelist()
