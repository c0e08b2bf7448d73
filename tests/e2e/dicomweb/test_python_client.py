"""Every verb of `dicomweb-client` (PyPI) that reads, against the deployed service in front of a real PACS."""

import re
import textwrap
from collections.abc import Callable
from io import BytesIO
from typing import Any

import dicomweb_client
import jpeg_ls
import numpy as np
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import get_frame

from local.settings import ROOT
from tests.support.stack import Stack
from tests.support.viewer_exams import Exam
from tests.support.viewers import file_of, image

Make = Callable[[str], DICOMwebClient]
JPEG_LS = "1.2.840.10008.1.2.4.80"


def uids(rows: list[dict[str, Any]], tag: str) -> set[str]:
    return {row[tag]["Value"][0] for row in rows}


def verbs(client: DICOMwebClient, exam: Exam) -> dict[str, Callable[[], Any]]:
    """Every verb that reads below a study, by name."""
    first, frames = exam.slices[0], exam.multiframe
    one = (exam.study, exam.series, str(first.SOPInstanceUID))
    many = (exam.study, str(frames.SeriesInstanceUID), str(frames.SOPInstanceUID))
    bulk = f"{client.base_url}/studies/{one[0]}/series/{one[1]}/instances/{one[2]}/bulkdata/7FE00010"
    return {
        "search_for_series": lambda: client.search_for_series(exam.study),
        "search_for_instances of a study": lambda: client.search_for_instances(exam.study),
        "search_for_instances of a series": lambda: client.search_for_instances(exam.study, exam.series),
        "retrieve_study_metadata": lambda: client.retrieve_study_metadata(exam.study),
        "retrieve_series_metadata": lambda: client.retrieve_series_metadata(exam.study, exam.series),
        "retrieve_instance_metadata": lambda: client.retrieve_instance_metadata(*one),
        "retrieve_instance": lambda: client.retrieve_instance(*one),
        "retrieve_instance_frames": lambda: client.retrieve_instance_frames(*many, frame_numbers=[1, 3]),
        "iter_instance_frames": lambda: list(client.iter_instance_frames(*many, frame_numbers=[2])),
        "retrieve_instance_rendered": lambda: client.retrieve_instance_rendered(*one, media_types=("image/png",)),
        "retrieve_instance_frames_rendered": lambda: client.retrieve_instance_frames_rendered(*many, frame_numbers=[2]),
        "retrieve_bulkdata": lambda: client.retrieve_bulkdata(bulk),
        "iter_bulkdata": lambda: list(client.iter_bulkdata(bulk)),
    }


@pytest.fixture(params=["staff", "token"])
def viewer(request: pytest.FixtureRequest, client: Make, stack: Stack, token: str) -> DICOMwebClient:
    return client(stack.service_key if request.param == "staff" else token)


def test_the_three_lines_of_the_readme(stack: Stack, token: str, exam: Exam) -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    [lines] = re.findall(r"(?:^    .*\n)*^    client = dicomweb_client\.(?:.*\n)(?:^    .*\n)+", text, re.M)
    assert len(lines.splitlines()) == 3
    names = {"dicomweb_client": dicomweb_client, "API_URL": stack.api_url, "ACCESS": token}
    *before, last = textwrap.dedent(lines).splitlines()
    exec("\n".join(before), names)
    assert names["study"] == exam.study
    assert uids(eval(last, names), "0020000D") == {exam.study}


def test_searches(viewer: DICOMwebClient, exam: Exam) -> None:
    (study,) = viewer.search_for_studies(search_filters={"StudyInstanceUID": exam.study}, fields=["StudyDescription"])
    assert (study["00201206"]["Value"], study["00201208"]["Value"]) == ([3], [8])
    series = viewer.search_for_series(exam.study)
    assert len(series) == 3 and exam.series in uids(series, "0020000E")
    wanted = {str(each.SOPInstanceUID) for each in exam.slices}
    assert uids(viewer.search_for_instances(exam.study, exam.series), "00080018") == wanted
    assert len(viewer.search_for_instances(exam.study)) == 8
    page = viewer.search_for_instances(exam.study, exam.series, limit=2, offset=5)
    assert len(page) == 1
    assert viewer.search_for_studies(search_filters={"StudyInstanceUID": f"{exam.study[:-3]}.9"}) == []


def test_metadata_lead_to_their_bulk_data(viewer: DICOMwebClient, exam: Exam) -> None:
    assert len(viewer.retrieve_study_metadata(exam.study)) == 8
    rows = viewer.retrieve_series_metadata(exam.study, exam.series)
    assert uids(rows, "00080018") == {str(each.SOPInstanceUID) for each in exam.slices}
    first = exam.slices[0]
    row = viewer.retrieve_instance_metadata(exam.study, exam.series, str(first.SOPInstanceUID))
    assert row["00280010"]["Value"] == [64] and row["00100020"]["Value"] == [exam.patient]
    link = row["7FE00010"]["BulkDataURI"]
    assert link.startswith(f"{viewer.base_url}/studies/{exam.study}/")
    assert b"".join(viewer.retrieve_bulkdata(link)) == first.PixelData
    assert b"".join(viewer.iter_bulkdata(link)) == first.PixelData


def test_instances_are_the_files_that_were_stored(viewer: DICOMwebClient, exam: Exam) -> None:
    for wanted in (exam.slices[0], exam.multiframe, exam.compressed):
        found = viewer.retrieve_instance(exam.study, str(wanted.SeriesInstanceUID), str(wanted.SOPInstanceUID))
        assert found.file_meta.TransferSyntaxUID == wanted.file_meta.TransferSyntaxUID
        assert found.PixelData == wanted.PixelData and found.PatientName == wanted.PatientName


def test_frames_are_those_of_the_file(viewer: DICOMwebClient, exam: Exam) -> None:
    image = exam.multiframe
    names = (exam.study, str(image.SeriesInstanceUID), str(image.SOPInstanceUID))
    wanted = [image.PixelData[start : start + 1024] for start in range(0, 5 * 1024, 1024)]
    assert viewer.retrieve_instance_frames(*names, frame_numbers=[1, 3, 5]) == [wanted[0], wanted[2], wanted[4]]
    assert list(viewer.iter_instance_frames(*names, frame_numbers=[2])) == [wanted[1]]
    (packed,) = viewer.retrieve_instance_frames(*names, frame_numbers=[4], media_types=(("image/jls", JPEG_LS),))
    assert bytes(jpeg_ls.decode_buffer(packed)[0]) == wanted[3]


def test_pictures_are_of_the_frame_and_in_the_format_that_is_asked_for(viewer: DICOMwebClient, exam: Exam) -> None:
    first, frames = exam.slices[0], exam.multiframe
    one = (exam.study, exam.series, str(first.SOPInstanceUID))
    png = Image.open(BytesIO(viewer.retrieve_instance_rendered(*one, media_types=("image/png",))))
    assert (png.format, png.size) == ("PNG", (64, 64))
    small = {"viewport": "16,16", "window": "2048,4096,linear"}
    jpeg = Image.open(BytesIO(viewer.retrieve_instance_rendered(*one, media_types=("image/jpeg",), params=small)))
    assert (jpeg.format, jpeg.size) == ("JPEG", (16, 16))
    many = (exam.study, str(frames.SeriesInstanceUID), str(frames.SOPInstanceUID))
    shown = [
        viewer.retrieve_instance_frames_rendered(*many, frame_numbers=[number], media_types=("image/png",))
        for number in (1, 2)
    ]
    assert [Image.open(BytesIO(each)).size for each in shown] == [(32, 32)] * 2
    assert shown[0] != shown[1]


def test_the_other_verbs_are_refused_as_docs_dicomweb_says(client: Make, stack: Stack, exam: Exam) -> None:
    """All of a study or a series at once, and every change."""
    viewer, study, series = client(stack.service_key), exam.study, exam.series
    first = exam.slices[0]
    verbs: dict[str, tuple[int, Callable[[], Any]]] = {
        "retrieve_study": (404, lambda: viewer.retrieve_study(study)),
        "iter_study": (404, lambda: list(viewer.iter_study(study))),
        "retrieve_series": (404, lambda: viewer.retrieve_series(study, series)),
        "iter_series": (404, lambda: list(viewer.iter_series(study, series))),
        "retrieve_series_rendered": (404, lambda: viewer.retrieve_series_rendered(study, series)),
        "store_instances": (405, lambda: viewer.store_instances([first])),
        "delete_study": (404, lambda: viewer.delete_study(study)),
        "delete_series": (404, lambda: viewer.delete_series(study, series)),
        "delete_instance": (405, lambda: viewer.delete_instance(study, series, str(first.SOPInstanceUID))),
    }
    found = {}
    for name, (_, verb) in verbs.items():
        with pytest.raises(requests.HTTPError) as refused:
            verb()
        found[name] = refused.value.response.status_code
    assert found == {name: status for name, (status, _) in verbs.items()}
    assert viewer.search_for_instances(study), "and nothing was deleted"


def test_a_compressed_frame_comes_as_it_is_stored(viewer: DICOMwebClient, exam: Exam) -> None:
    image = exam.compressed
    names = (exam.study, str(image.SeriesInstanceUID), str(image.SOPInstanceUID))
    types = (("application/octet-stream", "*"),), (("image/jp2", "1.2.840.10008.1.2.4.90"),)
    for each in types:
        (found,) = viewer.retrieve_instance_frames(*names, frame_numbers=[1], media_types=each)
        assert found == get_frame(image.PixelData, 0, number_of_frames=1)


class Redirected(requests.Session):
    """Follows a redirect as browsers do where S3 is another origin, and notes each.

    Without the credential, and without the header `Host`, which the client sets to that of the API for good.
    """

    def __init__(self) -> None:
        super().__init__()
        self.redirects: list[int] = []

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        self.redirects.append(response.status_code)
        for name in ("Authorization", "Host"):
            prepared_request.headers.pop(name, None)


def native(frame: bytes) -> tuple[bool, bytes]:
    """Return whether a frame is JPEG-LS, and its pixels."""
    is_packed = frame.startswith(b"\xff\xd8\xff\xf7")
    return is_packed, bytes(jpeg_ls.decode_buffer(frame)[0]) if is_packed else frame


@pytest.mark.parametrize("kind", ["smooth", "noise"])
def test_what_is_longer_than_an_answer_comes_bit_for_bit(kind: str, stack: Stack) -> None:
    """6 MB: JPEG-LS where that fits into an answer, else by 303."""
    rows = columns = 1740
    made = image("CANARY-VIEW-LONG", rows=rows, columns=columns if kind == "noise" else 1)
    if kind == "smooth":
        made.Columns = columns
        made.PixelData = (np.add.outer(np.arange(rows), np.arange(columns)) * 3).astype("<u2").tobytes()
    assert len(made.PixelData) == 2 * rows * columns > 6_000_000
    pacs = requests.Session()
    pacs.auth = (stack.pacs.user, stack.pacs.password)
    DICOMwebClient(stack.pacs.url, session=pacs).store_instances([dcmread(BytesIO(file_of(made)))])
    session = Redirected()
    session.headers["Authorization"] = f"Bearer {stack.service_key}"
    viewer = DICOMwebClient(f"{stack.api_url}/dicomweb", session=session)
    names = (str(made.StudyInstanceUID), str(made.SeriesInstanceUID), str(made.SOPInstanceUID))

    (frame,) = viewer.retrieve_instance_frames(*names, frame_numbers=[1])
    redirects_of_frame = session.redirects.copy()
    file = viewer.retrieve_instance(*names, media_types=(("application/dicom", "*"),))

    is_packed, pixels = native(frame)
    assert pixels == made.PixelData
    is_packed_file = file.file_meta.TransferSyntaxUID == JPEG_LS
    _, pixels_of_file = native(get_frame(file.PixelData, 0, number_of_frames=1) if is_packed_file else file.PixelData)
    assert (pixels_of_file, file.PatientID) == (made.PixelData, made.PatientID)
    if kind == "smooth":
        assert (is_packed, is_packed_file, session.redirects) == (True, True, [])
    else:
        assert (redirects_of_frame, session.redirects) == ([303], [303, 303])


def test_a_token_is_given_nothing_of_another_exam_by_any_verb(
    client: Make, token: str, other: Exam, stack: Stack
) -> None:
    viewer = client(token)
    assert viewer.search_for_studies(search_filters={"PatientID": other.patient}) == []
    assert viewer.search_for_studies(search_filters={"StudyInstanceUID": other.study}) == []
    tried = 0
    for name, verb in verbs(viewer, other).items():
        with pytest.raises(requests.HTTPError) as refused:
            verb()
        assert refused.value.response.status_code == 404, name
        tried += 1
    assert tried == 13
    # The control: they are all there.
    for name, verb in verbs(client(stack.service_key), other).items():
        assert verb(), name


def test_a_token_finds_its_own_exam_whatever_it_searches_for(client: Make, token: str, exam: Exam, other: Exam) -> None:
    viewer = client(token)
    for filters in ({}, {"PatientID": exam.patient}, {"StudyInstanceUID": f"{exam.study},{other.study}"}):
        assert uids(viewer.search_for_studies(search_filters=filters), "0020000D") == {exam.study}


def test_a_token_for_pictures_is_403_by_every_verb(client: Make, patient_token: str, exam: Exam) -> None:
    viewer = client(patient_token)
    for name, verb in verbs(viewer, exam).items():
        with pytest.raises(requests.HTTPError) as refused:
            verb()
        assert refused.value.response.status_code == 403, name
