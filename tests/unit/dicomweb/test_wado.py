"""Fetching, from PACS that cut off, stall, and answer something else."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from dicomweb.client import DicomwebClient, Timeouts
from dicomweb.errors import (
    DicomwebError,
    InvalidUid,
    NotFound,
    NotSupported,
    PacsFault,
    PacsRejectedCredentials,
    PacsTimeout,
    PacsUnreachable,
)
from dicomweb.transport import Transport
from dicomweb.wado import InstanceStream, Wado
from tests.support.pacs import (
    Answer,
    FakePacs,
    Handler,
    Received,
    answer,
    cut_off,
    dicom_json,
    drip,
    html,
    reset,
    stall,
)

QUICK = Timeouts(connect=0.3, read=0.3, total=1.0)
PATIENT = Timeouts(connect=5.0, read=5.0, total=20.0)
FILE = bytes(128) + b"DICM" + bytes(range(256)) * 4000
MULTIPART = "multipart/related; type=application/dicom; boundary=xyz"
IDS = ("1.2", "1.3", "1.4")


def client(pacs: FakePacs, timeouts: Timeouts = PATIENT) -> DicomwebClient:
    return DicomwebClient(pacs.url, timeouts=timeouts)


def wrapped(data: bytes, part_type: str = "application/dicom", end: bytes = b"\r\n--xyz--\r\n") -> bytes:
    return b"--xyz\r\nContent-Type: " + part_type.encode() + b"\r\n\r\n" + data + end


def chunked(data: bytes, *, finish: bool = True) -> Answer:
    """Chunked transfer, given up before its last chunk when told not to finish."""

    def give(handler: Handler, _received: Received) -> None:
        handler.head(200, Transfer_Encoding="chunked", Content_Type=MULTIPART)
        for at in range(0, len(data), 5000):
            piece = data[at : at + 5000]
            handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        if finish:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.hang_up()

    return give


def fetch(pacs: FakePacs, timeouts: Timeouts = PATIENT) -> bytes:
    with client(pacs, timeouts).retrieve_instance(*IDS) as stream:
        return b"".join(stream.iter_bytes(10_000))


@pytest.mark.parametrize(
    "good",
    [
        answer(200, wrapped(FILE), MULTIPART),
        answer(200, wrapped(FILE), MULTIPART.replace("xyz", '"xyz"')),
        chunked(wrapped(FILE)),
        answer(200, FILE, "application/dicom"),
        answer(200, FILE, "application/octet-stream"),
    ],
    ids=["multipart", "quoted", "chunked", "single", "octets"],
)
def test_instance_comes_byte_for_byte(good: Answer) -> None:
    with FakePacs(good) as pacs:
        assert fetch(pacs) == FILE
    assert 'type="application/dicom"; transfer-syntax=*' in pacs.received[0].headers["accept"]
    assert pacs.received[0].path == "/dicom-web/studies/1.2/series/1.3/instances/1.4"


def test_pieces_have_the_size_asked_for() -> None:
    with FakePacs(answer(200, wrapped(FILE), MULTIPART)) as pacs, client(pacs).retrieve_instance(*IDS) as stream:
        sizes = [len(piece) for piece in stream.iter_bytes(10_000)]
    assert set(sizes[:-1]) == {10_000}
    assert sum(sizes) == len(FILE)
    assert stream.content_type == "application/dicom"


@pytest.mark.parametrize("piece", [100, 70_000])
def test_memory_holds_two_pieces_while_one_is_put_together_and_then_the_callers(piece: int) -> None:
    whole, chunk = bytes(4_000_000), 1_000_000
    part = wrapped(whole)
    pieces = [part[at : at + piece] for at in range(0, len(part), piece)]
    response: Any = SimpleNamespace(headers={"Content-Type": MULTIPART}, iter_bytes=lambda: iter(pieces), status=200)
    stream = InstanceStream(response)
    tracemalloc.start()
    try:
        before, length, most_held = tracemalloc.get_traced_memory()[0], 0, 0
        for held in stream.iter_bytes(chunk):
            length += len(held)
            most_held = max(most_held, tracemalloc.get_traced_memory()[0] - before)
            del held
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert length == len(whole)
    assert most_held < 1.2 * chunk
    assert most < 2.4 * chunk


@pytest.mark.parametrize(
    "broken",
    [
        answer(200, wrapped(FILE, end=b""), MULTIPART),
        answer(200, wrapped(FILE, end=b"\r\n--xy"), MULTIPART),
        cut_off(wrapped(FILE)[:-300_000], len(wrapped(FILE)), MULTIPART),
        cut_off(FILE[:1000], len(FILE), "application/dicom"),
        chunked(wrapped(FILE)[:500_000], finish=False),
        chunked(wrapped(FILE)[:500_000]),
    ],
    ids=["no-end", "half-end", "cut-off", "single-cut-off", "chunks-cut-off", "chunks-too-few"],
)
def test_instance_that_is_cut_off_is_never_taken_for_whole(broken: Answer) -> None:
    with FakePacs(broken) as pacs, pytest.raises(PacsUnreachable):
        fetch(pacs)


def test_connection_is_used_again_after_a_whole_instance() -> None:
    with FakePacs(chunked(wrapped(FILE))) as pacs:
        once = client(pacs)
        for _ in range(2):
            with once.retrieve_instance(*IDS) as stream:
                assert b"".join(stream.iter_bytes()) == FILE
    assert pacs.received[0].connection == pacs.received[1].connection


def test_instance_given_up_half_way_does_not_poison_the_next() -> None:
    with FakePacs(answer(200, wrapped(FILE), MULTIPART)) as pacs:
        once = client(pacs)
        with once.retrieve_instance(*IDS) as stream:
            next(stream.iter_bytes(1000))
        with once.retrieve_instance(*IDS) as stream:
            assert b"".join(stream.iter_bytes()) == FILE


def test_dripping_instance_ends_at_the_deadline() -> None:
    with FakePacs(drip([wrapped(FILE)[:50], *[b"x"] * 60], 0.1, MULTIPART)) as pacs, pytest.raises(PacsTimeout):
        fetch(pacs, QUICK)


def test_other_media_type_is_asked_for_when_multipart_is_refused() -> None:
    with FakePacs(answer(406), answer(200, FILE, "application/dicom")) as pacs:
        assert fetch(pacs) == FILE
    assert pacs.received[1].headers["accept"] == "application/dicom; transfer-syntax=*"


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (answer(404), NotFound),
        (answer(204), NotFound),
        (answer(200, b"--xyz--", MULTIPART), NotFound),
        (answer(200, wrapped(b"{}", "application/json"), MULTIPART), PacsFault),
        (answer(200, wrapped(FILE), "multipart/related"), PacsFault),
        (html(), PacsFault),
        (answer(406), NotSupported),
        (answer(401), PacsRejectedCredentials),
        (answer(500), PacsFault),
        (stall, PacsTimeout),
        (reset, PacsUnreachable),
    ],
)
def test_trouble_with_an_instance(trouble: Answer, error: type[DicomwebError]) -> None:
    with FakePacs(trouble) as pacs, pytest.raises(error):
        fetch(pacs, QUICK if trouble is stall else PATIENT)


def test_uids_are_checked_before_anything_is_sent() -> None:
    with FakePacs(answer(200)) as pacs:
        for ids in [("../1", "1.3", "1.4"), ("1.2", "x", "1.4"), ("1.2", "1.3", "1.4?")]:
            with pytest.raises(InvalidUid):
                client(pacs).retrieve_instance(*ids)
            with pytest.raises(InvalidUid):
                client(pacs).retrieve_thumbnail(*ids, viewport=None)
    assert pacs.received == []


def test_metadata() -> None:
    with FakePacs(dicom_json([{"00080018": {"vr": "UI", "Value": ["1.4"]}}])) as pacs:
        assert client(pacs).retrieve_instance_metadata(*IDS)["00080018"]["Value"] == ["1.4"]


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (dicom_json([]), NotFound),
        (answer(204), NotFound),
        (answer(200, b" \n" * 200 + b"[" + b" " * 200 + b"]\n", "application/dicom+json"), NotFound),
        (dicom_json({}), PacsFault),
        (dicom_json(["x"]), PacsFault),
        (html(), PacsFault),
    ],
)
def test_trouble_with_metadata(trouble: Answer, error: type[DicomwebError]) -> None:
    with FakePacs(trouble) as pacs, pytest.raises(error):
        client(pacs).retrieve_instance_metadata(*IDS)


def test_frame() -> None:
    part_type = 'image/jls; transfer-syntax="1.2.840.10008.1.2.4.80"'
    with FakePacs(answer(200, wrapped(b"pixels", part_type), MULTIPART)) as pacs:
        frame = client(pacs).retrieve_frame(*IDS, 3)
    assert (frame.data, frame.media_type, frame.transfer_syntax_uid) == (
        b"pixels",
        "image/jls",
        "1.2.840.10008.1.2.4.80",
    )
    assert pacs.received[0].path.endswith("/instances/1.4/frames/3")


def test_frame_that_is_cut_off_is_asked_for_again() -> None:
    body, kind = wrapped(FILE, "image/jls"), MULTIPART
    with FakePacs(cut_off(body[:-300_000], len(body), kind), answer(200, body, kind)) as pacs:
        assert client(pacs).retrieve_frame(*IDS).data == FILE
    assert len(pacs.received) == 2


@pytest.mark.parametrize("status", [400, 404])
def test_no_such_frame(status: int) -> None:
    with FakePacs(answer(status)) as pacs, pytest.raises(NotFound):
        client(pacs).retrieve_frame(*IDS, 30)


def test_rendered() -> None:
    with FakePacs(answer(200, b"jpeg", "image/jpeg")) as pacs:
        image = client(pacs).retrieve_rendered(*IDS, frame=2, viewport=(64, 48), window=(40.5, 400, "linear"))
    assert (image.data, image.media_type) == (b"jpeg", "image/jpeg")
    assert pacs.received[0].target.endswith("/instances/1.4/frames/2/rendered?viewport=64,48&window=40.5,400,linear")


@pytest.mark.parametrize(
    ("ids", "path"),
    [
        (IDS, "/studies/1.2/series/1.3/instances/1.4/thumbnail"),
        (IDS[:2], "/studies/1.2/series/1.3/thumbnail"),
        (IDS[:1], "/studies/1.2/thumbnail"),
    ],
)
def test_thumbnail(ids: tuple[str, ...], path: str) -> None:
    with FakePacs(answer(200, b"png", "image/png")) as pacs:
        image = client(pacs).retrieve_thumbnail(*ids, viewport=(128, 128), media_type="image/png")
    assert image.data == b"png"
    assert pacs.received[0].target == f"/dicom-web{path}?viewport=128,128"
    assert pacs.received[0].headers["accept"] == "image/png"


@pytest.mark.parametrize("status", [400, 405, 406, 415, 501])
def test_pacs_that_makes_no_images(status: int) -> None:
    with FakePacs(answer(status)) as pacs:
        with pytest.raises(NotSupported):
            client(pacs).retrieve_thumbnail(*IDS, viewport=None)
        with pytest.raises(NotSupported):
            client(pacs).retrieve_rendered(*IDS)


@pytest.mark.parametrize("ids", [IDS, IDS[:2], IDS[:1]])
def test_404_for_an_object_that_is_there_means_no_such_service(ids: tuple[str, ...]) -> None:
    with FakePacs(answer(404), dicom_json([{"00080018": {"vr": "UI"}}])) as pacs, pytest.raises(NotSupported):
        client(pacs).retrieve_thumbnail(*ids, viewport=None)


@pytest.mark.parametrize("ids", [IDS, IDS[:2], IDS[:1]])
def test_404_for_an_object_that_is_not_there_means_just_that(ids: tuple[str, ...]) -> None:
    with FakePacs(answer(404), dicom_json([])) as pacs, pytest.raises(NotFound):
        client(pacs).retrieve_thumbnail(*ids, viewport=None)


@pytest.mark.parametrize("answered", [html(), dicom_json([])])
def test_what_is_no_image_is_a_fault(answered: Answer) -> None:
    with FakePacs(answered) as pacs, pytest.raises(PacsFault):
        client(pacs).retrieve_rendered(*IDS)


@pytest.mark.parametrize(
    ("no_dicom", "error"), [(answer(204), NotFound), (answer(404), NotFound), (answer(500), PacsFault)]
)
def test_a_connection_is_used_again_after_an_answer_that_is_no_dicom(
    no_dicom: Answer, error: type[DicomwebError]
) -> None:
    with FakePacs(no_dicom, answer(200, FILE, "application/dicom")) as pacs:
        wado = Wado(Transport(timeouts=PATIENT), pacs.url)
        with pytest.raises(error):
            wado.instance(*IDS)
        with wado.instance(*IDS) as stream:
            assert b"".join(stream.iter_bytes()) == FILE
    assert len(pacs.received) == 2
    assert len({received.connection for received in pacs.received}) == 1
