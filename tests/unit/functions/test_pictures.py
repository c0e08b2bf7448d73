"""Pictures of one frame with one window, and reports, out of a PACS whose every answer is known."""

from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import boto3
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import ComprehensiveSRStorage, DeflatedExplicitVRLittleEndian, EncapsulatedPDFStorage

from tests.support.dicom_files import saved
from tests.support.exam_pacs import CT_BYTES, INSTANCE, METADATA_ROUTE, SERIES, STUDY, multipart, pacs, picture
from tests.support.images import image, item
from tests.support.lambdas import Answer, Invoke
from tests.support.pacs import answer, dicom_json

NAMES = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": SERIES, "SOPInstanceUID": INSTANCE}
CT_ROUTES = (METADATA_ROUTE, (f"/instances/{INSTANCE}", multipart(CT_BYTES)))


def levels(given: Answer) -> Any:
    assert (given.status, given.headers["X-Thumbnail"]) == (200, "frame"), given.body[:300]
    return np.asarray(Image.open(BytesIO(given.body)))


def wanted(**query: str) -> dict[str, Any]:
    return picture(**{"fileType": "image/png", "size": "128"} | query)


def test_a_window_changes_the_picture_as_the_standard_says(invoke: Invoke) -> None:
    with pacs(*CT_ROUTES) as server:
        wide = levels(invoke("get_instance", server.url, **wanted(window="-600,1500")))
        narrow = levels(invoke("get_instance", server.url, **wanted(window="40,80")))
        named = levels(invoke("get_instance", server.url, **wanted(window="brain")))
    # A narrow window has more black and more white than a wide one.
    assert ((narrow == 0) | (narrow == 255)).mean() > ((wide == 0) | (wide == 255)).mean() + 0.2
    assert (named == narrow).all()


def test_each_window_and_frame_has_a_picture_of_its_own_in_the_cache(invoke: Invoke) -> None:
    queries: list[dict[str, str]] = [{}, {"window": "lung"}, {"window": "bone"}, {"window": "default"}, {"frame": "1"}]
    with pacs(*CT_ROUTES) as server:
        for query in queries * 2:
            levels(invoke("get_instance", server.url, **wanted(**query)))
        fetched = [request for request in server.received if request.path.endswith(f"/instances/{INSTANCE}")]
    kept = boto3.client("s3").list_objects_v2(Bucket="cache")["Contents"]
    assert len(kept) == len(queries)
    assert len(fetched) == len(queries)


def test_with_the_own_window_the_thumbnail_of_the_pacs_will_not_do(invoke: Invoke) -> None:
    theirs = (f"/instances/{INSTANCE}/thumbnail", answer(200, b"PIC", "image/jpeg"))
    with pacs(theirs, *CT_ROUTES) as server:
        assert invoke("get_instance", server.url, **wanted()).headers["X-Thumbnail"] == "pacs"
        assert invoke("get_instance", server.url, **wanted(window="default")).headers["X-Thumbnail"] == "frame"


def test_one_frame_of_many_is_asked_for_and_shown(invoke: Invoke) -> None:
    pixels = np.stack([np.full((8, 8), level, dtype=np.uint8) for level in (10, 120, 240)])
    dataset = image(pixels, NumberOfFrames=3, PatientID="P", WindowCenter=128, WindowWidth=256, **NAMES)
    metadata = {tag: one for tag, one in dataset.to_json_dict().items() if tag != "7FE00010"}
    routes = [
        (f"/frames/{number}", multipart(pixels[number - 1].tobytes(), "application/octet-stream"))
        for number in (1, 2, 3)
    ]
    shown = []
    with pacs((f"/instances/{INSTANCE}/metadata", dicom_json([metadata])), *routes) as server:
        for frame in ("1", "2", "3"):
            shown.append(int(levels(invoke("get_instance", server.url, **wanted(frame=frame)))[0, 0]))
        beyond = invoke("get_instance", server.url, **wanted(frame="4"))
    assert shown == [10, 120, 240]
    assert (beyond.status, beyond.json["code"]) == (404, "NO_SUCH_FRAME")


@pytest.mark.parametrize(
    "query",
    [
        *({"frame": text} for text in ("0", "-1", "1.5", "x", "1000001")),
        *({"window": text} for text in ("40", "40,0", "40,-1", "Brain", "liver", "1e3,1", "40,80,1", "nan,1", "0,0.0")),
        {"size": "2049"},
    ],
)
def test_a_frame_or_window_that_makes_no_sense_never_reaches_the_pacs(query: dict[str, str], invoke: Invoke) -> None:
    with pacs(*CT_ROUTES) as server:
        given = invoke("get_instance", server.url, **wanted(**query))
        assert (given.status, given.json["code"]) == (400, "INVALID_PARAMETER")
        assert server.received == []


def report_of(dataset: Any, invoke: Invoke) -> Answer:
    with pacs((f"/instances/{INSTANCE}", multipart(saved(dataset)))) as server:
        return invoke("get_report", server.url)


def encapsulated(document: bytes, **attributes: Any) -> Any:
    dataset = image(b"", BitsAllocated=8, SOPClassUID=EncapsulatedPDFStorage, PatientID="P", **NAMES, **attributes)
    del dataset.PixelData
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    return dataset


def test_a_pdf_comes_as_it_was_put_in(invoke: Invoke) -> None:
    document = b"%PDF-1.7 odd"
    odd = document + b"!"
    for content in (document, odd):
        given = report_of(encapsulated(content, EncapsulatedDocumentLength=len(content)), invoke)
        assert (given.status, given.headers["Content-Type"]) == (200, "application/pdf")
        assert given.body == content


def test_a_pdf_that_fits_no_answer_is_a_redirect_to_it_and_for_pages_its_url(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_service.exams.report.LARGEST_ANSWER", 1000)
    document = b"%PDF-1.7 " + b"x" * 1001
    dataset = encapsulated(document, EncapsulatedDocumentLength=len(document))
    given = report_of(dataset, invoke)
    assert (given.status, given.body) == (303, b"")
    key = f"instances/{STUDY}/{SERIES}/{INSTANCE}/{INSTANCE}.pdf"
    assert urlsplit(given.headers["Location"]).path.endswith(key)
    kept = boto3.client("s3").get_object(Bucket="cache", Key=key)
    assert (kept["Body"].read(), kept["ContentType"]) == (document, "application/pdf")
    # The label is what erasing a patient finds it by.
    assert kept["Metadata"]["patient"]
    with pacs((f"/instances/{INSTANCE}", multipart(saved(dataset)))) as server:
        told = invoke("get_report", server.url, **picture(redirect="false"))
    assert urlsplit(told.json["url"]).path == urlsplit(given.headers["Location"]).path


def test_a_pdf_without_its_document_is_the_fault_of_the_pacs(invoke: Invoke) -> None:
    dataset = encapsulated(b"")
    del dataset.EncapsulatedDocument
    given = report_of(dataset, invoke)
    assert (given.status, given.json["code"]) == (502, "PACS_ERROR")


def coded(meaning: str) -> list[Any]:
    return [item(CodeValue="1", CodingSchemeDesignator="99T", CodeMeaning=meaning)]


def test_a_structured_report_comes_as_a_tree_of_names_and_values(invoke: Invoke) -> None:
    measured = item(NumericValue="4.2", MeasurementUnitsCodeSequence=[item(CodeValue="mm", CodeMeaning="millimeter")])
    text = item(ValueType="TEXT", ConceptNameCodeSequence=coded("Befund"), TextValue="Größe unverändert")
    number = item(ValueType="NUM", ConceptNameCodeSequence=coded("Nodule"), MeasuredValueSequence=[measured])
    code = item(ValueType="CODE", ConceptNameCodeSequence=coded("Side"), ConceptCodeSequence=coded("left"))
    text.ContentSequence = [number, code]
    dataset = image(b"", BitsAllocated=8, SOPClassUID=ComprehensiveSRStorage, PatientID="P", **NAMES)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    del dataset.PixelData
    dataset.ValueType, dataset.ConceptNameCodeSequence = "CONTAINER", coded("Report")
    dataset.ContentSequence = [text]

    given = report_of(dataset, invoke)

    assert given.status == 200, given.body
    leaf: dict[str, Any] = {"children": [], "unit": None}
    children = [
        {"name": "Nodule", "value": "4.2", "unit": "mm", "children": []},
        {"name": "Side", "value": "left", **leaf},
    ]
    finding = {"name": "Befund", "value": "Größe unverändert", "unit": None, "children": children}
    assert given.json == {"name": "Report", "value": None, "unit": None, "children": [finding]}


def test_a_report_nested_without_end_is_cut_and_not_followed(invoke: Invoke) -> None:
    dataset = image(b"", BitsAllocated=8, SOPClassUID=ComprehensiveSRStorage, PatientID="P", **NAMES)
    del dataset.PixelData
    inner = item(ValueType="CONTAINER")
    for _ in range(60):
        inner = item(ValueType="CONTAINER", ContentSequence=[inner])
    dataset.ContentSequence = [inner]
    depth, node = 0, report_of(dataset, invoke).json
    while node["children"]:
        depth, node = depth + 1, node["children"][0]
    assert depth == 32


# A header that says that what follows is deflated, which it is not.
NOT_DEFLATED = (
    CT_BYTES[: CT_BYTES.index(b"\x08\x00\x05\x00CS")].replace(
        b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.1.99"
    )
    + b"\xff" * 100
)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (CT_BYTES, 404, "NOT_A_REPORT"),
        (b"no DICOM", 502, "PACS_ERROR"),
        (NOT_DEFLATED, 502, "PACS_ERROR"),
    ],
    ids=["an-image", "no-dicom", "not-deflated"],
)
def test_what_is_no_report_says_so(content: bytes, status: int, code: str, invoke: Invoke) -> None:
    with pacs((f"/instances/{INSTANCE}", multipart(content))) as server:
        given = invoke("get_report", server.url)
    assert (given.status, given.json["code"]) == (status, code)


def test_a_deflated_report_is_read_and_one_that_inflates_to_more_than_a_report_may_have_is_not(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dicom_service.exams.report._LARGEST_FILE", 1 << 20)
    document = b"%PDF-1.7"
    dataset = encapsulated(document)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert report_of(dataset, invoke).body == document
    dataset.EncapsulatedDocument = document + bytes(1 << 20)
    given = report_of(dataset, invoke)
    assert (given.status, given.json["limit"]) == (413, 1 << 20)


def test_one_exam_is_an_object_and_another_one_of_the_pacs_is_not_taken_for_it(invoke: Invoke) -> None:
    found = {"0020000D": {"vr": "UI", "Value": [STUDY]}, "00081030": {"vr": "LO", "Value": ["Thorax"]}}
    other = {"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}
    route = {"path": f"/exams/studies/{STUDY}", "pathParameters": {"studyUID": STUDY}, **picture(format="simple")}
    with pacs(("/studies", dicom_json([other, found]))) as server:
        given = invoke("list_exams", server.url, **route)
    assert (given.status, given.json["StudyDescription"]) == (200, "Thorax")
    with pacs(("/studies", dicom_json([other]))) as server:
        assert invoke("list_exams", server.url, **route).status == 404
