"""Headers, pictures and counts from a PACS with the minimum of DICOMweb, and from one that fails for single files."""

import os
import warnings
from collections import Counter
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from dicom_service.element_walk import NotDicom
from dicom_service.errors import NotFound
from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.exams.search import Page, search_series, search_studies
from dicom_service.notifications.study_snapshot import read_snapshot
from dicom_service.part10 import BytesSource, read_header
from dicom_service.thumbnails.representative import select_representative_instance_of_study
from dicom_service.thumbnails.thumbnailer import Thumbnail, Thumbnailer, ThumbnailRequest
from dicomweb.client import DicomwebClient, StorePart
from dicomweb.errors import PacsFault
from tests.support.exams import exam, instance, new_uid
from tests.support.faults import FaultyProxy
from tests.support.images import without_metadata
from tests.support.pictures import (
    JPEG_TOLERANCE,
    mean_difference,
    reference_of,
    reference_picture,
    sample,
    sample_files,
    scaled,
    with_own_uid,
)

SIZE = 256
SOAK = os.environ.get("SOAK") == "1"
Pacs = tuple[FaultyProxy, DicomwebClient]


def store(client: DicomwebClient, data: bytes) -> InstanceName | None:
    """Store a file; None where the PACS does not want it."""
    header = read_header(BytesSource(data))
    name = InstanceName(header.study_instance_uid, header.series_instance_uid, header.sop_instance_uid)
    part = StorePart(
        header.sop_class_uid, name.instance_uid, name.study_uid, name.series_uid, len(data), lambda: iter([data])
    )
    result = client.store_instances([part])
    return name if all(one.stored for one in result.instances) else None


def stored(client: DicomwebClient, file: str) -> InstanceName:
    name = store(client, sample(file).read_bytes())
    assert name is not None
    return name


def picture(thumbnailer: Thumbnailer, name: InstanceName) -> Thumbnail:
    return thumbnailer.make(name, thumbnailer.header(name), ThumbnailRequest(SIZE, "image/jpeg"))


def difference(path: Path, made: Thumbnail) -> float:
    reference = reference_of(path)
    assert reference is not None
    shown, expected = Image.open(BytesIO(made.data)), scaled(reference, SIZE)
    assert (shown.mode, shown.size) == (expected.mode, expected.size)
    return mean_difference(shown, expected)


def test_the_header_comes_from_the_file_where_there_is_no_metadata(tiny: Pacs) -> None:
    proxy, client = tiny
    name, thumbnailer = stored(client, "CT_small.dcm"), Thumbnailer(client, Capabilities())

    headers = [thumbnailer.header(name) for _ in range(3)]

    assert headers[0]["00100020"]["Value"] == ["1CT1"]
    assert headers[0]["00280010"]["Value"] == [128]
    assert headers[0]["00083002"]["Value"] == ["1.2.840.10008.1.2.1"]
    assert "7FE00010" not in headers[0]
    assert headers[0] == headers[1] == headers[2]
    # what the PACS lacks was asked for once
    assert proxy.asked["metadata"] == 1
    assert proxy.asked[name.instance_uid] == 3


def test_an_instance_that_is_not_there_is_not_taken_for_a_service_that_is_not_there(tiny: Pacs, lame: Pacs) -> None:
    for proxy, client in (tiny, lame):
        name, capabilities = stored(client, "CT_small.dcm"), Capabilities()
        absent = InstanceName(name.study_uid, name.series_uid, "1.2.3.4")

        with pytest.raises(NotFound):
            Thumbnailer(client, capabilities).header(absent)

        assert capabilities.supports("metadata")
        assert proxy.asked["metadata"] == 1


@pytest.mark.parametrize(("status", "remembered"), [(500, False), (400, False), (405, True), (501, True)])
def test_what_is_remembered_when_orthanc_does_not_give_metadata(lame: Pacs, status: int, remembered: bool) -> None:
    proxy, client = lame
    name, capabilities = stored(client, "CT_small.dcm"), Capabilities()
    thumbnailer = Thumbnailer(client, capabilities)
    as_given = thumbnailer.header(name)
    proxy.lacks = {"metadata": status}

    from_file = thumbnailer.header(name)

    for tag in ("00100020", "00100010", "00080016", "00280010", "00281052", "0020000D"):
        assert from_file[tag]["Value"] == as_given[tag]["Value"], tag
    assert capabilities.supports("metadata") is not remembered
    assert difference(sample("CT_small.dcm"), picture(thumbnailer, name)) <= JPEG_TOLERANCE


def test_a_file_whose_metadata_orthanc_cannot_write_has_its_picture_all_the_same(lame: Pacs) -> None:
    proxy, client = lame
    study = new_uid()
    dataset, data = without_metadata(study, f"{study}.1"[:64], new_uid())
    broken, whole, capabilities = store(client, data), stored(client, "CT_small.dcm"), Capabilities()
    assert broken is not None
    # GIVEN that Orthanc, the real one, fails for this file
    with pytest.raises(PacsFault) as fault:
        client.retrieve_instance_metadata(broken.study_uid, broken.series_uid, broken.instance_uid)
    assert fault.value.status == 500
    thumbnailer = Thumbnailer(client, capabilities)

    header, made = thumbnailer.header(broken), picture(thumbnailer, broken)

    assert (header["00100020"]["Value"], header["00100021"]["Value"]) == (["P1"], ["HOSPITAL"])
    assert made.source == "frame"
    shown, expected = Image.open(BytesIO(made.data)), scaled(reference_picture(dataset), SIZE)
    assert (shown.mode, shown.size) == (expected.mode, expected.size)
    assert mean_difference(shown, expected) <= JPEG_TOLERANCE
    # the next file's metadata is asked for as before
    asked = proxy.asked["metadata"]
    thumbnailer.header(whole)
    assert capabilities.supports("metadata") and proxy.asked["metadata"] == asked + 1


def test_frames_come_from_the_file_where_there_are_none(tiny: Pacs) -> None:
    proxy, client = tiny
    name, thumbnailer = stored(client, "emri_small.dcm"), Thumbnailer(client, Capabilities())

    made = [picture(thumbnailer, name) for _ in range(2)]

    assert {one.source for one in made} == {"frame"}
    assert difference(sample("emri_small.dcm"), made[0]) <= JPEG_TOLERANCE
    assert sum(count for last, count in proxy.asked.items() if last.isdecimal()) == 2  # this frame, and the first
    assert proxy.asked["thumbnail"] == 1


def test_counts_that_the_pacs_leaves_out_are_found(tiny: Pacs) -> None:
    _, client = tiny
    study, files = exam(2, 1, modality="CT")
    assert all([store(client, data) for data in [*files, instance(study, f"{study}.0", modality="CT")]])
    page = Page(10, 0)

    found = search_studies(client, {"StudyInstanceUID": study}, page).datasets
    series_rows = search_series(client, study, page, PatientScope()).datasets
    snapshot = read_snapshot(client, study)

    assert [found[0][tag]["Value"] for tag in ("00201206", "00201208", "00080061")] == [[2], [3], ["CT"]]
    assert {row["0020000E"]["Value"][0]: row["00201209"]["Value"][0] for row in series_rows} == {
        f"{study}.0": 2,
        f"{study}.1": 1,
    }
    assert snapshot is not None and (snapshot.series, snapshot.instances, snapshot.modalities) == (2, 3, ("CT",))
    assert select_representative_instance_of_study(client, study, PatientScope()).series_uid == f"{study}.0"


def outcome(thumbnailer: Thumbnailer, client: DicomwebClient, path: Path, number: int) -> str:
    try:
        data, _ = with_own_uid(path.read_bytes(), number)
        name = store(client, data)
    except NotDicom:
        return "refused at the door"
    if name is None:
        return "refused by the PACS"
    made = picture(thumbnailer, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if reference_of(path) is None:
            assert made.is_placeholder, made.source
            return "placeholder"
        assert made.source == "frame", f"{made.source} though pydicom decodes it"
        assert difference(path, made) <= JPEG_TOLERANCE
    return "true picture"


def test_every_image_that_pydicom_decodes_is_a_true_picture_through_a_minimal_pacs(tiny: Pacs) -> None:
    proxy, client = tiny
    thumbnailer, counts, wrong = Thumbnailer(client, Capabilities()), Counter[str](), []
    for number, path in enumerate(sample_files()[:: 1 if SOAK else 8]):
        try:
            counts[outcome(thumbnailer, client, path, number)] += 1
        except AssertionError as error:
            wrong.append(f"{path.name}: {str(error).splitlines()[0]}")
    summary = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    print(f"pictures through tiny_pacs: {summary}, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong)
    assert counts["true picture"] > (130 if SOAK else 10)
    assert proxy.asked["metadata"] == 1
