"""What is put on the wire, piece by piece."""

import pytest

from dicomweb.body import Body, BodyIterator
from dicomweb.multipart import related_body

LARGE = bytes(100_000)


@pytest.mark.parametrize(
    ("pieces", "sent"),
    [
        # Short ones go out together, whatever their number.
        ([b"head", b"preamble", b"rest"], [b"headpreamblerest"]),
        # A long one goes out as it is, after what was waiting and before what follows.
        ([b"head", LARGE, b"tail", b"end"], [b"head", LARGE, b"tailend"]),
        # Never more is gathered than fits.
        ([bytes(40_000), bytes(40_000)], [bytes(40_000), bytes(40_000)]),
        ([], []),
    ],
)
def test_short_pieces_are_sent_together(pieces: list[bytes], sent: list[bytes]) -> None:
    body = Body("application/dicom", sum(map(len, pieces)), lambda: iter(pieces))

    assert list(BodyIterator(body)) == sent


def test_a_small_file_is_one_piece_with_its_boundaries() -> None:
    body = related_body([(6, lambda: iter((b"abc", b"def")))])

    (sent,) = BodyIterator(body)

    assert len(sent) == body.length
    assert b"\r\n\r\nabcdef\r\n--" in sent
