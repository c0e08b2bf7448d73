"""A file in memory is walked faster than one read by ranges: nothing else may differ, whatever the file."""

import random
from collections.abc import Iterator
from pathlib import Path

from pydicom.data import get_testdata_file

from dicom_service.element_walk import NotDicom, Source
from dicom_service.part10 import BytesSource, Header, read_header
from tests.support.hostile import cases

SAMPLES = ("CT_small.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "reportsi.dcm", "JPEG2000.dcm", "UN_sequence.dcm")
DAMAGED_EACH = 150


class Ranged:
    """A file of which the walk knows nothing but what it reads."""

    def __init__(self, data: bytes) -> None:
        self._whole = BytesSource(data)
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        return self._whole.read(offset, length)


def told(source: Source) -> Header | tuple[str, str]:
    try:
        return read_header(source)
    except NotDicom as error:
        return error.reason, error.detail


def damaged(content: bytes, chance: random.Random) -> Iterator[bytes]:
    """Cut a file off, and change bytes where its elements are: tags, VRs, lengths."""
    for _ in range(DAMAGED_EACH):
        copy = bytearray(content[: chance.randrange(132, len(content) + 1)] if chance.random() < 0.2 else content)
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(132, min(len(copy), 4000)) if len(copy) > 132 else 0
            copy[place] = chance.choice((0, 1, 0xFE, 0xFF, *b"SQUNOB", chance.randrange(256)))
        yield bytes(copy)


def test_both_ways_tell_the_same_of_every_file() -> None:
    chance = random.Random(9)
    files = [file.content for case in cases(9, 400, "1.2.3") for file in case.files]
    for name in SAMPLES:
        content = Path(str(get_testdata_file(name))).read_bytes()
        files += [content, *damaged(content, chance)]

    answers = [(told(BytesSource(content)), told(Ranged(content))) for content in files]

    assert [pair for pair in answers if pair[0] != pair[1]] == []
    reasons = {pair[0][0] if isinstance(pair[0], tuple) else "stored" for pair in answers}
    assert reasons >= {"stored", "MALFORMED", "TRUNCATED", "TOO_DEEP", "NO_SOP_UIDS"}
    print(f"headers: {len(files)} files walked both ways, 0 told differently")
