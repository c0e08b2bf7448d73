"""Frames for viewers: media types, what is too long, the cache, a PACS that has none, what a credential sees."""

from typing import Any
from urllib.parse import urlsplit

import jpeg_ls
import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.origin_server import answers, frames
from dicom_service.origin_server.frame_source import SYNTAX, FrameSource
from dicom_service.origin_server.shared_cache import Entry
from tests.support.viewer_calls import Viewer
from tests.support.viewers import ANY_FRAME, EXPLICIT, Archive, Parts, compressed, image

MINE, OTHER, SERIES = "1.2.1", "1.2.2", "1.2.1.1"
JPEG_LS, J2K, RLE = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"


def path(dataset: object, numbers: str = "1") -> str:
    uid = dataset.SOPInstanceUID  # type: ignore[attr-defined]
    return f"/dicomweb/studies/{MINE}/series/{SERIES}/instances/{uid}/frames/{numbers}"


@pytest.fixture
def multiframe(archive: Archive) -> object:
    made = image("P1", MINE, SERIES, frames=4)
    archive.add(made)
    return made


def test_frames_come_as_parts_each_with_its_place_and_syntax(viewer: Viewer, multiframe: object) -> None:
    given = viewer.get(path(multiframe, "2,4"), Accept=ANY_FRAME)
    assert given.headers["Content-Type"].startswith('multipart/related; type="application/octet-stream"; boundary=')
    assert given.headers["Cache-Control"].startswith("private, max-age=")
    parts = Parts.of(given.headers["Content-Type"], given.body)
    pixels = multiframe.PixelData  # type: ignore[attr-defined]
    assert parts.bodies == [pixels[128:256], pixels[384:512]]
    assert [part["content-type"] for part in parts.headers] == [
        f"application/octet-stream; transfer-syntax={EXPLICIT}"
    ] * 2
    assert [part["content-location"].rpartition("/v1")[2] for part in parts.headers] == [
        path(multiframe, number) for number in ("2", "4")
    ]


@pytest.mark.parametrize(
    "accept", ["", "*/*", "multipart/related", 'multipart/related; type="application/octet-stream"']
)
def test_uncompressed_frames_need_no_transfer_syntax(accept: str, viewer: Viewer, multiframe: object) -> None:
    given = viewer.get(path(multiframe), Accept=accept)
    parts = Parts.of(given.headers["Content-Type"], given.body)
    assert parts.headers[0]["content-type"] == "application/octet-stream"
    assert parts.bodies == [multiframe.PixelData[:128]]  # type: ignore[attr-defined]


def test_one_frame_may_come_by_itself_but_not_two(viewer: Viewer, multiframe: object) -> None:
    given = viewer.get(path(multiframe), Accept="application/octet-stream; transfer-syntax=*")
    assert given.headers["Content-Type"] == f"application/octet-stream; transfer-syntax={EXPLICIT}"
    assert given.body == multiframe.PixelData[:128]  # type: ignore[attr-defined]
    two = viewer.get(path(multiframe, "1,2"), Accept="application/octet-stream; transfer-syntax=*")
    assert (two.status, two.json["code"]) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    ("syntax", "media_type"), [(JPEG_LS, "image/jls"), (J2K, "image/jp2"), (RLE, "image/dicom-rle")]
)
def test_compressed_frames_pass_as_they_are_stored(
    syntax: str, media_type: str, viewer: Viewer, archive: Archive
) -> None:
    stored = compressed(image("P1", MINE, SERIES, rows=64, columns=64), syntax)
    archive.add(stored)
    anything = viewer.get(path(stored), Accept=ANY_FRAME)
    own = viewer.get(path(stored), Accept=f'multipart/related; type="{media_type}"')
    alone = viewer.get(path(stored), Accept=f"{media_type}, */*;q=0.1")
    bodies = [Parts.of(each.headers["Content-Type"], each.body) for each in (anything, own)]
    assert bodies[0].headers[0]["content-type"] == f"application/octet-stream; transfer-syntax={syntax}"
    assert bodies[1].headers[0]["content-type"] == f"{media_type}; transfer-syntax={syntax}"
    assert bodies[0].bodies == bodies[1].bodies == [alone.body]
    assert alone.headers["Content-Type"] == f"{media_type}; transfer-syntax={syntax}"
    assert archive.asked["frames"] == 1


def test_what_the_pacs_does_not_transcode_is_406_and_named(viewer: Viewer, archive: Archive) -> None:
    stored = compressed(image("P1", MINE, SERIES, rows=16, columns=16), RLE)
    archive.add(stored)
    given = viewer.get(path(stored), Accept='multipart/related; type="application/octet-stream"')
    assert (given.status, given.json["code"]) == (406, "NOT_ACCEPTABLE")
    assert f"image/dicom-rle; transfer-syntax={RLE}" in given.json["detail"]
    assert archive.accepts[-1] == f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT}'


def test_the_weights_decide(viewer: Viewer, multiframe: object) -> None:
    jls = 'multipart/related; type="image/jls"; transfer-syntax=' + JPEG_LS
    first = viewer.get(path(multiframe), Accept=f"{ANY_FRAME}; q=0.5, {jls}")
    last = viewer.get(path(multiframe), Accept=f"{ANY_FRAME}, {jls}; q=0.5")
    kinds = [Parts.of(each.headers["Content-Type"], each.body).headers[0]["content-type"] for each in (first, last)]
    assert kinds == [f"image/jls; transfer-syntax={JPEG_LS}", f"application/octet-stream; transfer-syntax={EXPLICIT}"]


def test_what_a_more_exact_range_rejects_no_wider_one_brings_back(
    viewer: Viewer, archive: Archive, multiframe: object
) -> None:
    octets = "application/octet-stream"
    rejected = (
        f"{octets};q=0, */*",
        f'multipart/related; type="{octets}";q=0, multipart/related; transfer-syntax=*',
        f"{octets}; transfer-syntax={EXPLICIT};q=0, {octets}; transfer-syntax=*",
    )
    for accept in rejected:
        assert viewer.get(path(multiframe), Accept=accept).status == 406, accept
    # The control: what is rejected is another type, or another transfer syntax.
    others = ("image/jpeg;q=0, */*", f"{octets}; transfer-syntax={JPEG_LS};q=0, {octets}; transfer-syntax=*")
    for accept in others:
        assert viewer.get(path(multiframe), Accept=accept).status == 200, accept


def test_octets_without_transfer_syntax_leave_compressed_frames_to_the_wider_range(
    viewer: Viewer, archive: Archive
) -> None:
    stored = compressed(image("P1", MINE, SERIES, rows=16, columns=16), RLE)
    archive.add(stored)
    accept = "image/dicom-rle;q=0, application/octet-stream, */*; transfer-syntax=*"
    given = viewer.get(path(stored), Accept=accept)
    kind = Parts.of(given.headers["Content-Type"], given.body).headers[0]["content-type"]
    assert kind == f"application/octet-stream; transfer-syntax={RLE}"


def test_who_rejects_multipart_gets_one_body_or_none(viewer: Viewer, multiframe: object) -> None:
    accept = "multipart/related;q=0, */*"
    alone = viewer.get(path(multiframe, "2"), Accept=accept)
    assert (alone.headers["Content-Type"], alone.body) == (
        "application/octet-stream",
        multiframe.PixelData[128:256],  # type: ignore[attr-defined]
    )
    assert viewer.get(path(multiframe, "1,2"), Accept=accept).status == 406


def test_a_rejected_type_of_parts_is_no_rejection_of_others(viewer: Viewer, multiframe: object) -> None:
    two = viewer.get(path(multiframe, "1,2"), Accept='multipart/related; type="image/jpeg";q=0, */*')
    assert (
        Parts.of(two.headers["Content-Type"], two.body).bodies
        == [
            multiframe.PixelData[:128],  # type: ignore[attr-defined]
            multiframe.PixelData[128:256],  # type: ignore[attr-defined]
        ]
    )
    # The control: these are the type of the frames.
    for kind in ('"application/octet-stream"', '"application/*"'):
        accept = f"multipart/related; type={kind};q=0, */*"
        assert viewer.get(path(multiframe, "1,2"), Accept=accept).status == 406, accept
        alone = viewer.get(path(multiframe, "1"), Accept=accept)
        assert alone.headers["Content-Type"] == "application/octet-stream"


def test_what_is_too_long_is_not_compressed_for_who_rejects_that(
    viewer: Viewer, multiframe: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (frames, answers):
        monkeypatch.setattr(module, "LARGEST_ANSWER", 100)
    given = viewer.get(path(multiframe), Accept=f"{ANY_FRAME}, {ANY_FRAME[:-1]}{JPEG_LS};q=0")
    stored = aws.s3().get_object(Bucket="cache", Key=urlsplit(given.headers["Location"]).path.lstrip("/"))
    assert Parts.of(stored["ContentType"], stored["Body"].read()).bodies == [multiframe.PixelData[:128]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("bits", "stored", "signed", "samples"),
    [
        *((8, 8, False, 1), (16, 10, False, 1), (16, 12, False, 1), (16, 16, False, 1)),
        *((16, 12, True, 1), (16, 16, True, 1), (8, 8, False, 3)),
    ],
)
def test_what_is_too_long_is_compressed_without_loss(
    bits: int,
    stored: int,
    signed: bool,
    samples: int,
    viewer: Viewer,
    archive: Archive,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = image("P1", MINE, SERIES, rows=33, columns=17, bits=bits, stored=stored, signed=signed, samples=samples)
    archive.add(made)
    size = 33 * 17 * samples * bits // 8
    monkeypatch.setattr(frames, "LARGEST_ANSWER", size - 1)
    given = viewer.get(path(made), Accept=ANY_FRAME)
    parts = Parts.of(given.headers["Content-Type"], given.body)
    assert parts.headers[0]["content-type"] == f"application/octet-stream; transfer-syntax={JPEG_LS}"
    pixels, _ = jpeg_ls.decode_buffer(parts.bodies[0])
    assert bytes(pixels) == made.PixelData[:size]


def test_what_does_not_fit_at_all_is_behind_a_link(
    viewer: Viewer, multiframe: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (frames, answers):
        monkeypatch.setattr(module, "LARGEST_ANSWER", 100)
    given = viewer.get(path(multiframe), Accept='multipart/related; type="application/octet-stream"')
    assert (given.status, given.body) == (303, b"")
    key = urlsplit(given.headers["Location"]).path.lstrip("/")
    assert key.startswith(f"dicomweb/{MINE}/") and "X-Amz-Expires=60" in given.headers["Location"]
    stored = aws.s3().get_object(Bucket="cache", Key=key)
    parts = Parts.of(stored["ContentType"], stored["Body"].read())
    assert parts.bodies == [multiframe.PixelData[:128]]  # type: ignore[attr-defined]


@pytest.mark.parametrize("numbers", ["0", "1,", "-1", "a", "1,0", "01", "1,,2", "9999999999", ",".join(["1"] * 101)])
def test_no_list_of_frames_is_400(numbers: str, viewer: Viewer, multiframe: object, archive: Archive) -> None:
    given = viewer.get(path(multiframe, numbers))
    assert (given.status, given.json["code"]) == (400, "INVALID_FRAMES")
    assert not archive.asked


@pytest.mark.parametrize(("numbers", "asked"), [("1,2,3,4", 3), ("1,1,1,1", 1)])
def test_frames_that_are_too_long_together_are_400_and_not_read_to_the_end(
    numbers: str, asked: int, viewer: Viewer, multiframe: object, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MOST_BYTES", 2 * 128)
    given = viewer.get(path(multiframe, numbers), Accept=ANY_FRAME)
    assert (given.status, given.json["code"]) == (400, "INVALID_FRAMES")
    assert archive.asked["frames"] == asked
    # Control: what fits is there, and one frame by itself is, however long.
    assert viewer.get(path(multiframe, "1,2"), Accept=ANY_FRAME).status == 200
    monkeypatch.setattr(frames, "MOST_BYTES", 1)
    assert viewer.get(path(multiframe, "3"), Accept=ANY_FRAME).status == 200


def test_what_grows_by_being_transcoded_is_limited_too(
    viewer: Viewer, archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN compressed frames that fit THEN what the PACS makes of them does not, and is not made to the end."""
    made = compressed(image("P1", MINE, SERIES, frames=4), RLE)
    archive.add(made)
    asked: list[int] = []

    def transcoded(_: object, __: object, ___: object, number: int, ____: object) -> Entry:
        asked.append(number)
        return Entry(b"x" * 300_000, {SYNTAX: EXPLICIT})

    monkeypatch.setattr(FrameSource, "transcoded", transcoded)
    monkeypatch.setattr(frames, "MOST_BYTES", 700_000)
    given = viewer.get(path(made, "1,1,2,3,4"), Accept='multipart/related; type="application/octet-stream"')
    assert (given.status, given.json["code"], asked) == (400, "INVALID_FRAMES", [1, 2])


def test_a_frame_that_is_named_twice_is_read_once_and_comes_twice(
    viewer: Viewer, multiframe: object, archive: Archive
) -> None:
    given = viewer.get(path(multiframe, "2,2"), Accept=ANY_FRAME)
    assert len(Parts.of(given.headers["Content-Type"], given.body).bodies) == 2
    assert archive.asked["frames"] == 1


def test_a_frame_beyond_the_last_is_404_and_the_next_is_not(
    viewer: Viewer, multiframe: object, archive: Archive
) -> None:
    assert viewer.get(path(multiframe, "5"), Accept=ANY_FRAME).status == 404
    assert viewer.get(path(multiframe, "4"), Accept=ANY_FRAME).status == 200
    assert archive.asked["file"] == 0


def test_a_frame_of_what_has_none_is_404_and_does_not_make_the_pacs_one_without_frames(
    viewer: Viewer, multiframe: object, archive: Archive
) -> None:
    report = image("P1", MINE, SERIES)
    del report.PixelData
    archive.add(report)
    assert viewer.get(path(report), Accept=ANY_FRAME).status == 404
    files = archive.asked["file"]
    assert viewer.get(path(multiframe, "1"), Accept=ANY_FRAME).status == 200
    assert archive.asked["file"] == files


def test_a_frame_is_asked_of_the_pacs_once(viewer: Viewer, multiframe: object, archive: Archive) -> None:
    first = viewer.get(path(multiframe), Accept=ANY_FRAME)
    for _ in range(3):
        again = viewer.get(path(multiframe), Accept=ANY_FRAME)
        assert again.headers["ETag"] == first.headers["ETag"]
    assert (archive.asked["frames"], archive.asked["studies"]) == (1, 1)
    assert viewer.get(path(multiframe), Accept=ANY_FRAME, If_None_Match=first.headers["ETag"]).status == 304


def test_a_frame_that_the_pacs_changed_has_another_tag_once_it_is_kept_anew(viewer: Viewer, multiframe: object) -> None:
    """Nothing that a search shows changes, so only what is no longer kept is read again."""
    first = viewer.get(path(multiframe), Accept=ANY_FRAME)
    pixels = bytes(range(128))
    multiframe.PixelData = pixels + multiframe.PixelData[128:]  # type: ignore[attr-defined]
    assert viewer.get(path(multiframe), Accept=ANY_FRAME, If_None_Match=first.headers["ETag"]).status == 304
    for entry in aws.s3().list_objects_v2(Bucket="cache")["Contents"]:
        aws.s3().delete_object(Bucket="cache", Key=entry["Key"])
    again = viewer.get(path(multiframe), Accept=ANY_FRAME, If_None_Match=first.headers["ETag"])
    assert again.status == 200
    assert Parts.of(again.headers["Content-Type"], again.body).bodies == [pixels]


def test_frames_and_media_types_have_tags_of_their_own(viewer: Viewer, multiframe: object) -> None:
    accepts = (ANY_FRAME, "*/*", "application/octet-stream; transfer-syntax=*")
    asked = [(number, accept) for number in ("1", "2") for accept in accepts]
    tags = {viewer.get(path(multiframe, number), Accept=accept).headers["ETag"] for number, accept in asked}
    assert len(tags) == len(asked)


def test_a_pacs_without_frames_gives_its_file_once_for_all_frames(
    viewer: Viewer, multiframe: object, archive: Archive
) -> None:
    archive.lacks.add("frames")
    for number in range(4):
        given = viewer.get(path(multiframe, str(number + 1)), Accept=ANY_FRAME)
        wanted = multiframe.PixelData[128 * number : 128 * (number + 1)]  # type: ignore[attr-defined]
        assert Parts.of(given.headers["Content-Type"], given.body).bodies == [wanted]
    assert archive.asked["file"] == 1


def test_frames_that_the_pacs_returns_in_big_endian_are_little_endian_here(
    viewer: Viewer, multiframe: object, archive: Archive
) -> None:
    archive.big_endian = True
    pixels = multiframe.PixelData  # type: ignore[attr-defined]
    for number in (1, 2):
        given = viewer.get(path(multiframe, str(number)), Accept="application/octet-stream; transfer-syntax=*")
        assert given.headers["Content-Type"] == f"application/octet-stream; transfer-syntax={EXPLICIT}"
        assert given.body == pixels[128 * (number - 1) : 128 * number]
    place = path(multiframe).replace("/frames/1", "/bulkdata/7FE00010")
    assert viewer.get(place, Accept="application/octet-stream").body == pixels
    # The PACS was asked first; one file was read for the two frames and one for the value.
    assert (archive.asked["frames"], archive.asked["bulkdata"], archive.asked["file"]) == (1, 1, 2)


def test_what_is_kept_already_is_not_kept_anew_beside_another_frame(
    viewer: Viewer, multiframe: object, archive: Archive
) -> None:
    # GIVEN the second frame, of a PACS without frames
    archive.lacks.add("frames")
    second = viewer.get(path(multiframe, "2"), Accept=ANY_FRAME)
    # WHEN the first is fetched, and its neighbours with it
    viewer.get(path(multiframe, "1"), Accept=ANY_FRAME)
    # THEN the second is the one that the browser has
    assert viewer.get(path(multiframe, "2"), Accept=ANY_FRAME, If_None_Match=second.headers["ETag"]).status == 304


def test_a_bucket_that_takes_leases_alone_changes_no_tag(
    viewer: Viewer, multiframe: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = viewer.get(path(multiframe), Accept=ANY_FRAME)
    for entry in aws.s3().list_objects_v2(Bucket="cache")["Contents"]:
        aws.s3().delete_object(Bucket="cache", Key=entry["Key"])
    refused = ClientError({"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "PutObject")  # type: ignore[typeddict-item]

    write = aws.s3().put_object

    def put(**more: Any) -> Any:
        if more["Body"]:
            raise refused
        return write(**more)

    monkeypatch.setattr(aws.s3(), "put_object", put)
    tags = [viewer.get(path(multiframe), Accept=ANY_FRAME) for _ in range(2)]
    assert [each.status for each in tags] == [200, 200]
    assert tags[0].headers["ETag"] == tags[1].headers["ETag"] != first.headers["ETag"]


# ---- what a credential sees


def test_a_token_sees_frames_of_its_study_alone(viewer: Viewer, multiframe: object) -> None:
    assert viewer.get(path(multiframe), Accept=ANY_FRAME, context=viewer.token(MINE)).status == 200
    foreign = viewer.get(path(multiframe), Accept=ANY_FRAME, context=viewer.token(OTHER))
    assert (foreign.status, foreign.json["detail"]) == (404, "There is no such study.")


def test_a_kept_frame_is_not_shown_to_the_token_of_another_patient(viewer: Viewer, multiframe: object) -> None:
    assert viewer.get(path(multiframe), Accept=ANY_FRAME).status == 200
    given = viewer.get(path(multiframe), Accept=ANY_FRAME, context=viewer.token(MINE, "P2"))
    assert (given.status, given.json["code"]) == (403, "EXAM_SUSPENDED")
