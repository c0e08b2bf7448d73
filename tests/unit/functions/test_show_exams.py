"""Lists, files and pictures, out of a PACS whose every answer is known."""

import gzip
import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import boto3
import pytest
from PIL import Image

from dicom_service.exams.capabilities import Capabilities
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.pacs import connect
from dicom_service.settings import PacsSettings
from dicom_service.thumbnails.thumbnailer import Thumbnailer, ThumbnailRequest
from tests.support.exam_pacs import (
    CT_BYTES,
    INSTANCE,
    INSTANCE_ROW,
    METADATA,
    METADATA_ROUTE,
    SERIES,
    SERIES_ROW,
    STUDY,
    multipart,
    pacs,
    picture,
    row,
)
from tests.support.lambdas import Invoke, sample_event
from tests.support.pacs import FakePacs, Handler, Received, answer, dicom_json

Route = Callable[[Received], bool]


def test_filters_reach_the_pacs_as_dicom_attributes(invoke: Invoke) -> None:
    wanted = picture(PatientId="P 1", **{"from": "2024-01-01"}, modality="CT", LIMIT="5")
    with FakePacs(answer(204)) as server:
        given = invoke("list_exams", server.url, **wanted)
        sent = server.received[0].query
    assert (given.status, given.json) == (200, [])
    assert (sent["PatientID"], sent["StudyDate"], sent["ModalitiesInStudy"]) == ("P 1", "20240101-", "CT")


def test_more_rows_are_linked_to_with_the_same_filters(invoke: Invoke) -> None:
    rows = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{n}"]}} for n in range(3)]
    with FakePacs(dicom_json(rows)) as server:
        given = invoke("list_exams", server.url, **picture(patientID="P", limit="2"))
    assert len(given.json) == 2
    assert given.headers["Link"].endswith('/v1/exams/studies?patientID=P&limit=2&offset=2>; rel="next"')


@pytest.mark.parametrize(
    ("accepted", "is_compressed"), [("gzip, deflate, br", True), ("br", False), ("gzip;q=0", False)]
)
def test_long_lists_are_compressed_for_who_takes_it(invoke: Invoke, accepted: str, is_compressed: bool) -> None:
    rows = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{n}"]}} for n in range(100)]
    with FakePacs(dicom_json(rows)) as server:
        headers = {"headers": {"Accept-Encoding": accepted}, "multiValueHeaders": {"Accept-Encoding": [accepted]}}
        given = invoke("list_exams", server.url, **picture(), **headers)
    assert given.headers["Vary"] == "Accept-Encoding"
    assert (given.headers.get("Content-Encoding") == "gzip") is is_compressed
    body = gzip.decompress(given.body) if is_compressed else given.body
    assert [row["0020000D"]["Value"] for row in json.loads(body)] == [row["0020000D"]["Value"] for row in rows]
    assert (len(given.body) < len(body) / 5) is is_compressed


def test_simple_rows_are_flat_and_keyed_by_keyword(invoke: Invoke) -> None:
    found = {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
        "00080061": {"vr": "CS", "Value": ["CT", "SR"]},
        "00080050": {"vr": "SH"},
        "00081190": {"vr": "UR", "Value": ["http://pacs.internal/studies/1.2.3"]},
        "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["step"]}}]},
    }
    with FakePacs(dicom_json([found])) as server:
        (simple,) = invoke("list_exams", server.url).json
    assert simple["PatientName"] == "Yamada^Tarou=山田^太郎"
    assert simple["ModalitiesInStudy"] == ["CT", "SR"]
    assert simple["AccessionNumber"] is None
    assert simple["RequestAttributesSequence"] == [{"ScheduledProcedureStepID": "step"}]
    assert "pacs.internal" not in json.dumps(simple)


def of_patient(study: str, patient: str) -> dict[str, Any]:
    return {"0020000D": {"vr": "UI", "Value": [study]}, "00100020": {"vr": "LO", "Value": [patient]}}


@pytest.mark.parametrize("path", ["series", f"series/{SERIES}/instances"])
@pytest.mark.parametrize(
    ("found", "status"),
    [
        ([of_patient(STUDY, "A ")], 200),
        ([of_patient(STUDY, "A"), of_patient("1.2.3", "B")], 200),
        ([of_patient(STUDY, "B")], 404),
        ([of_patient(STUDY, "A"), of_patient(STUDY, "B")], 404),
        ([of_patient("1.2.3", "A")], 404),
        ([of_patient(STUDY, "a")], 404),
        ([], 404),
    ],
)
def test_the_exam_has_to_be_the_patients(path: str, found: list[Any], status: int, invoke: Invoke) -> None:
    """`patientID` on series and instances: the reference demands it, so it is checked and not passed over."""
    rows = (path.rpartition("/")[2], dicom_json([SERIES_ROW if path == "series" else INSTANCE_ROW]))
    with pacs(("/studies", dicom_json(found)), rows) as server:
        route = {"path": f"/exams/studies/{STUDY}/{path}", **picture(PatientId="A")}
        given = invoke("list_exams", server.url, **route)
        listed = [request for request in server.received if not request.path.endswith("/studies")]
    assert given.status == status
    assert bool(listed) == (status == 200)


@pytest.mark.parametrize("path", ["series", "series/1.2.4/instances"])
def test_an_unknown_exam_is_404(path: str, invoke: Invoke) -> None:
    route = {"path": f"/exams/studies/1.2.3/{path}", "queryStringParameters": None}
    route["multiValueQueryStringParameters"] = None
    for nothing in (answer(204), dicom_json([]), answer(404)):
        with FakePacs(nothing) as server:
            given = invoke("list_exams", server.url, **route)
        assert (given.status, given.json["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("bad", ["1.2/../3", "1..2", "a", "1.2%2e", "1" * 65])
@pytest.mark.parametrize(("function", "ending"), [("list_exams", "series"), ("get_thumbnail", "thumbnail")])
def test_a_path_with_something_else_than_a_uid_never_reaches_the_pacs(
    bad: str, function: str, ending: str, invoke: Invoke
) -> None:
    changes = {"path": f"/exams/studies/{bad}/{ending}", "pathParameters": {"studyUID": bad}}
    with FakePacs(answer(204)) as server:
        given = invoke(function, server.url, **changes, **picture())
        assert (given.status, given.json["code"]) == (400, "INVALID_UID")
        assert server.received == []


def test_a_file_comes_back_byte_by_byte(invoke: Invoke) -> None:
    with pacs((f"/instances/{INSTANCE}", multipart(CT_BYTES))) as server:
        given = invoke("get_instance", server.url, **picture(fileType="application/dicom"))
    assert (given.status, given.headers["Content-Type"]) == (200, "application/dicom")
    assert given.body == CT_BYTES


def test_a_large_file_is_handed_over_by_link_and_kept_only_for_a_while(invoke: Invoke) -> None:
    large = CT_BYTES + bytes(range(256)) * 80_000
    with pacs((f"/instances/{INSTANCE}", multipart(large))) as server:
        given = invoke("get_instance", server.url, **picture(fileType="application/dicom"))
    assert given.status == 303
    assert given.body == b""
    assert "X-Amz-Signature=" in given.headers["Location"]
    (kept,) = boto3.client("s3").list_objects_v2(Bucket="cache")["Contents"]
    assert boto3.client("s3").get_object(Bucket="cache", Key=kept["Key"])["Body"].read() == large


def test_a_large_file_cut_off_on_the_way_leaves_nothing_behind(invoke: Invoke) -> None:
    whole = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + CT_BYTES + bytes(20_000_000)

    def cut(handler: Handler, _received: Received) -> None:
        content_type = 'multipart/related; type="application/dicom"; boundary=b'
        handler.head(200, Content_Length=str(len(whole) + 9), Content_Type=content_type)
        handler.wfile.write(whole)
        handler.hang_up()

    with pacs((f"/instances/{INSTANCE}", cut)) as server:
        given = invoke("get_instance", server.url, **picture(fileType="application/dicom"))
    assert (given.status, given.json["code"]) == (502, "PACS_UNREACHABLE")
    s3 = boto3.client("s3")
    assert s3.list_objects_v2(Bucket="cache")["KeyCount"] == 0
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="cache")


@pytest.mark.parametrize("query", [{}, {"fileType": "video/mp4"}, {"fileType": "image/jpeg", "size": "9"}])
def test_an_unknown_file_type_or_size_is_400(query: dict[str, str], invoke: Invoke) -> None:
    given = invoke("get_instance", **picture(**query))
    assert (given.status, given.json["code"]) == (400, "INVALID_PARAMETER")


def test_a_thumbnail_of_the_pacs_is_taken_as_it_is(invoke: Invoke) -> None:
    with pacs(METADATA_ROUTE, (f"/instances/{INSTANCE}/thumbnail", answer(200, b"PIC", "image/jpeg"))) as server:
        given = invoke("get_instance", server.url)
    assert (given.status, given.body, given.headers["X-Thumbnail"]) == (200, b"PIC", "pacs")


def test_without_one_the_frame_is_rendered_here(invoke: Invoke) -> None:
    with pacs(METADATA_ROUTE, (f"/instances/{INSTANCE}", multipart(CT_BYTES))) as server:
        given = invoke("get_instance", server.url, **picture(fileType="image/png", size="64"))
    shown = Image.open(BytesIO(given.body))
    assert (given.headers["X-Thumbnail"], shown.size, shown.mode, shown.format) == ("frame", (64, 64), "L", "PNG")


def test_what_cannot_be_decoded_here_is_rendered_by_the_pacs_with_the_files_window(invoke: Invoke) -> None:
    header = {**METADATA, "00281050": {"vr": "DS", "Value": [40]}, "00281051": {"vr": "DS", "Value": [400]}}
    with pacs(
        (f"/instances/{INSTANCE}/metadata", dicom_json([header])),
        (f"/instances/{INSTANCE}/rendered", answer(200, b"PIC", "image/jpeg")),
        (f"/instances/{INSTANCE}", multipart(b"broken")),
    ) as server:
        given = invoke("get_instance", server.url)
        query = next(r.query for r in server.received if r.path.endswith("/rendered"))
    assert (given.body, given.headers["X-Thumbnail"]) == (b"PIC", "rendered")
    assert query["window"].lower().startswith("40") and "linear" in query["window"].lower()
    assert query["viewport"].startswith("128,128")


def test_broken_pixels_are_a_placeholder_never_a_500(invoke: Invoke) -> None:
    with pacs(METADATA_ROUTE, (f"/instances/{INSTANCE}", multipart(CT_BYTES[:3000]))) as server:
        given = invoke("get_instance", server.url)
    assert (given.status, given.headers["X-Thumbnail"]) == (200, "placeholder; reason=undecodable")
    assert Image.open(BytesIO(given.body)).format == "JPEG"


@pytest.mark.parametrize(
    ("tag", "element", "reason"),
    [
        ("00080016", {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.88.33"]}, "sr"),
        ("00080016", {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.104.1"]}, "pdf"),
        ("00280301", {"vr": "CS", "Value": ["YES"]}, "burned-in"),
    ],
)
def test_what_has_no_picture_is_not_asked_for(tag: str, element: Any, reason: str, invoke: Invoke) -> None:
    with pacs((f"/instances/{INSTANCE}/metadata", dicom_json([{**METADATA, tag: element}]))) as server:
        given = invoke("get_instance", server.url)
        asked = [received.path.rsplit("/", 1)[-1] for received in server.received]
    assert (given.status, given.headers["X-Thumbnail"]) == (200, f"placeholder; reason={reason}")
    assert asked == ["metadata"]


def test_an_unknown_instance_is_404_even_where_its_picture_was_kept(invoke: Invoke) -> None:
    with pacs(METADATA_ROUTE, (f"/instances/{INSTANCE}", multipart(CT_BYTES))) as server:
        assert invoke("get_instance", server.url).status == 200
    with pacs() as server:
        given = invoke("get_instance", server.url)
    assert (given.status, given.json["code"]) == (404, "NOT_FOUND")


def test_a_picture_is_made_once_and_then_comes_out_of_the_cache_or_not_at_all(invoke: Invoke) -> None:
    with pacs(METADATA_ROUTE, (f"/instances/{INSTANCE}", multipart(CT_BYTES))) as server:
        first = invoke("get_instance", server.url)
        asked = len(server.received)
        second = invoke("get_instance", server.url)
        assert [received.path.rsplit("/", 1)[-1] for received in server.received[asked:]] == ["metadata"]
        headers = {**sample_event("get_instance")["headers"], "if-none-match": first.headers["ETag"]}
        third = invoke("get_instance", server.url, headers=headers)
    assert (second.body, second.headers["ETag"]) == (first.body, first.headers["ETag"])
    assert (third.status, third.body) == (304, b"")
    assert first.headers["Cache-Control"].startswith("private")


def test_a_thumbnail_kept_of_one_patient_is_not_shown_for_another(invoke: Invoke) -> None:
    # GIVEN a thumbnail of a patient's instance, and another patient's instance under the same UIDs since
    with pacs(METADATA_ROUTE, (f"/instances/{INSTANCE}", multipart(CT_BYTES))) as server:
        assert invoke("get_instance", server.url).status == 200
    theirs = {**METADATA, "00100020": {"vr": "LO", "Value": ["another patient"]}}

    # WHEN its thumbnail is asked for
    with pacs(
        (f"/instances/{INSTANCE}/metadata", dicom_json([theirs])), (f"/instances/{INSTANCE}", multipart(CT_BYTES))
    ) as server:
        assert invoke("get_instance", server.url).status == 200
        asked = [received.path.rsplit("/", 1)[-1] for received in server.received]

    # THEN it is made of their own file
    assert INSTANCE in asked


def test_a_cache_out_of_order_costs_no_picture(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_BUCKET", "gone")
    with pacs(METADATA_ROUTE, (f"/instances/{INSTANCE}", multipart(CT_BYTES))) as server:
        assert invoke("get_instance", server.url).status == 200


def test_an_exam_is_shown_by_the_middle_of_its_largest_series_with_pictures(invoke: Invoke) -> None:
    report = {**row(**{"0020000E": ("UI", "1.9"), "00080060": ("CS", "SR"), "00201209": ("IS", 500)})}
    images = {**SERIES_ROW, "00201209": {"vr": "IS", "Value": [3]}}
    instances = [
        row(**{"00080018": ("UI", uid), "00200013": ("IS", number)})
        for uid, number in (("1.3", 30), (INSTANCE, 20), ("1.1", 10))
    ]
    with pacs(
        METADATA_ROUTE,
        (f"/studies/{STUDY}/series", dicom_json([report, images])),
        (f"/series/{SERIES}/instances", dicom_json(instances)),
        (f"/instances/{INSTANCE}", multipart(CT_BYTES)),
    ) as server:
        given = invoke("get_thumbnail", server.url)
    assert (given.status, given.headers["X-Thumbnail"]) == (200, "frame")
    assert max(Image.open(BytesIO(given.body)).size) == 128


@pytest.mark.parametrize(
    ("numbered", "is_listed"),
    [
        (dicom_json([row(**{"00080018": ("UI", INSTANCE), "00200013": ("IS", 151)})]), False),
        (dicom_json([row(**{"00080018": ("UI", uid), "00200013": ("IS", 151)}) for uid in ("1.1", "1.2")]), True),
        (dicom_json([row(**{"00080018": ("UI", "1.1"), "00200013": ("IS", 7)})]), True),
        (answer(204), True),
        (answer(400), True),
    ],
    ids=["one", "two of one number", "filter ignored", "none", "rejected"],
)
def test_the_middle_of_a_long_series_is_found_by_its_number(invoke: Invoke, numbered: Any, is_listed: bool) -> None:
    listed: list[str] = []

    def instances(handler: Handler, received: Received) -> None:
        if number := received.query.get("InstanceNumber"):
            assert number == "151"
            numbered(handler, received)
        else:
            # That an instance is there is also looked up by its UID.
            listed.extend([received.target] * ("SOPInstanceUID" not in received.query))
            dicom_json([row(**{"00080018": ("UI", INSTANCE), "00200013": ("IS", 1)})])(handler, received)

    with pacs(
        METADATA_ROUTE,
        (f"/studies/{STUDY}/series", dicom_json([{**SERIES_ROW, "00201209": {"vr": "IS", "Value": [300]}}])),
        (f"/series/{SERIES}/instances", instances),
        (f"/instances/{INSTANCE}", multipart(CT_BYTES)),
    ) as server:
        given = invoke("get_thumbnail", server.url)
    assert (given.status, given.headers["X-Thumbnail"]) == (200, "frame")
    assert bool(listed) is is_listed


def test_what_a_pacs_cannot_do_is_asked_for_once_and_again_after_an_hour() -> None:
    now = [0.0]
    listed = ("/instances", dicom_json([INSTANCE_ROW]))
    with pacs((f"/instances/{INSTANCE}", multipart(CT_BYTES)), listed) as server:
        client = connect(PacsSettings(url=server.url, total_timeout=2))
        thumbnailer = Thumbnailer(client, Capabilities(clock=lambda: now[0]))
        name, wanted = InstanceName(STUDY, SERIES, INSTANCE), ThumbnailRequest(64, "image/jpeg")
        asked = []
        for now[0] in (0.0, 10.0, 3700.0):
            assert thumbnailer.make(name, METADATA, wanted).source == "frame"
            asked.append(sum(received.path.endswith("/thumbnail") for received in server.received))
    assert asked == [1, 1, 2]


def test_one_image_that_a_pacs_cannot_render_does_not_keep_it_from_rendering_others() -> None:
    # GIVEN a PACS that answers 400 for the first picture, as Orthanc does for JPEG 2000, and renders the second
    name, wanted = InstanceName(STUDY, SERIES, INSTANCE), ThumbnailRequest(64, "image/jpeg")
    replies = iter([answer(400), answer(200, b"PIC", "image/jpeg")])

    def rendered(handler: Handler, received: Received) -> None:
        next(replies)(handler, received)

    with pacs(
        (f"/instances/{INSTANCE}/rendered", rendered), (f"/instances/{INSTANCE}", multipart(b"broken"))
    ) as server:
        thumbnailer = Thumbnailer(connect(PacsSettings(url=server.url, total_timeout=5)), Capabilities())
        sources = [thumbnailer.make(name, METADATA, wanted).source for _ in range(2)]
    assert sources == ["placeholder; reason=undecodable", "rendered"]


@pytest.mark.parametrize(
    ("rows", "may"), [([INSTANCE_ROW], False), ([], True)], ids=["service-missing", "object-missing"]
)
def test_only_a_missing_service_is_remembered_not_a_missing_object(rows: list[Any], may: bool) -> None:
    capabilities = Capabilities()
    with pacs((f"/series/{SERIES}/instances", dicom_json(rows))) as server:
        thumbnailer = Thumbnailer(connect(PacsSettings(url=server.url, total_timeout=9)), capabilities)
        thumbnailer.make(InstanceName(STUDY, SERIES, INSTANCE), METADATA, ThumbnailRequest(64, "image/jpeg"))
    assert (capabilities.supports("thumbnail"), capabilities.supports("rendered")) == (may, may)
