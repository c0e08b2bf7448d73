"""Files made to harm: a generator with a seed, so that what it found once is found again.

Each case is a handful of files that come in together, with what must be told of each: ``stored``, ``refused``, or
``either`` where it is the PACS's to decide. Its own studies and instances belong to no other case.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dicom_service.element_walk import MAX_DEPTH
from tests.support.dicom_files import EXPLICIT, IMPLICIT, dataset, element, part10

_ITEM, _ITEM_END, _SEQUENCE_END = (struct.pack("<HHI", 0xFFFE, tag, 0) for tag in (0xE000, 0xE00D, 0xE0DD))
_OPEN_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
_JPEG = "1.2.840.10008.1.2.4.50"


@dataclass(frozen=True)
class HostileFile:
    """One file, and what must be told of it."""

    content: bytes
    study: str
    instance: str
    patient: str
    told: str


@dataclass
class Case:
    """What comes in together."""

    kind: str
    files: list[HostileFile] = field(default_factory=list)


def cases(seed: int, count: int, root: str) -> Iterator[Case]:
    """Make cases, one kind after the other, each of its own chance."""
    kinds: list[Callable[[random.Random, str], Case]] = [
        _depth,
        _length_lies,
        _vrs,
        _collision,
        _patients,
        _fragments,
        _repeated,
        _noise,
        _cut,
    ]
    for number in range(count):
        yield kinds[number % len(kinds)](random.Random(f"{seed}/{number}"), f"{root}.{number + 1}")


def _file(case: str, number: int, told: str, more: bytes = b"", **how: str) -> HostileFile:
    study, patient = how.get("study", f"{case}.1"), how.get("patient", "HOSTILE")
    instance = how.get("instance", f"{case}.2.{number}")
    syntax = how.get("syntax", EXPLICIT)
    body = dataset(
        implicit=syntax == IMPLICIT,
        StudyInstanceUID=study.encode(),
        SeriesInstanceUID=f"{study}.1".encode(),
        SOPInstanceUID=instance.encode(),
        PatientID=patient.encode(),
    )
    return HostileFile(part10(body + more, syntax), study, instance, patient, told)


def _sequences(chance: random.Random, depth: int, *, implicit: bool) -> bytes:
    """Sequences within each other; each level chooses its length and its place in the item."""
    inner = b""
    for _ in range(depth):
        defined = chance.random() < 0.5
        before = element(0x00080005, b"CS", b"ISO_IR 192", implicit=implicit) if chance.random() < 0.5 else b""
        item = before + inner
        if chance.random() < 0.5:
            item = struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item
        else:
            item = _OPEN_ITEM + item + _ITEM_END
        tag = chance.choice((0x00400260, 0x0040A730, 0x00411060))
        if defined:
            inner = element(tag, b"SQ", item, implicit=implicit)
        else:
            inner = element(tag, b"SQ", item, implicit=implicit, length=0xFFFFFFFF) + _SEQUENCE_END
    return inner


def _depth(chance: random.Random, case: str) -> Case:
    implicit = chance.random() < 0.5
    depth = chance.choice((2, 15, MAX_DEPTH, MAX_DEPTH + 1, 46, 47, 60, 200, 2000))
    told = "refused" if depth > MAX_DEPTH else "stored"
    deep = _sequences(chance, depth, implicit=implicit)
    return Case(
        "depth", [_file(case, 1, told, deep, syntax=IMPLICIT if implicit else EXPLICIT), _file(case, 2, "stored")]
    )


def _length_lies(chance: random.Random, case: str) -> Case:
    length = chance.choice((2, 6, 0x7FFF, 0xFFFE, 0x7FFFFFFE, 0xFFFFFFFE, 0xFFFFFFFF))
    vr = chance.choice((b"OB", b"OW", b"UN", b"UT", b"SQ"))
    lie = element(0x00411060, vr, chance.randbytes(4), length=length)
    more = chance.choice((b"", _SEQUENCE_END, _ITEM + _ITEM_END, _OPEN_ITEM * chance.randint(1, 30)))
    return Case("length lies", [_file(case, 1, "either", lie + more), _file(case, 2, "stored")])


def _vrs(chance: random.Random, case: str) -> Case:
    vr = chance.choice((b"??", b"\0\0", b"ZZ", b"sq", b"UI", b"FD", b"AT", b"PN"))
    tag = chance.choice((0x00281050, 0x00280010, 0x00411060, 0x7FE00010))
    odd = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr + struct.pack("<H", 6) + chance.randbytes(6)
    return Case("VR", [_file(case, 1, "either", odd), _file(case, 2, "stored")])


def _collision(chance: random.Random, case: str) -> Case:
    comment = element(0x00204000, b"LT", chance.randbytes(4).hex().encode())
    first = _file(case, 1, "stored")
    other = chance.choice(
        (
            _file(case, 1, "refused", comment),
            _file(case, 1, "refused", study=f"{case}.9"),
            _file(case, 1, "refused", comment, study=f"{case}.9", patient="HOSTILE-B"),
        )
    )
    return Case("collision", [first, other, _file(case, 1, "stored")])


def _patients(chance: random.Random, case: str) -> Case:
    other = chance.choice(("HOSTILE-B", "hostile", "HOSTILE\\B2", "HOSTILE2", ""))
    # Of several values the first counts, as it does in the PACS.
    told = "either" if other.startswith("HOSTILE\\") else "refused"
    return Case("patients", [_file(case, 1, "stored"), _file(case, 2, told, patient=other), _file(case, 3, "stored")])


def _fragments(chance: random.Random, case: str) -> Case:
    pixels = b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff"
    for _ in range(chance.choice((0, 1, 5, 3000))):
        data = chance.randbytes(2 * chance.randint(0, 20))
        pixels += struct.pack("<HHI", 0xFFFE, 0xE000, chance.choice((len(data), len(data), 0))) + data
    pixels += chance.choice((_SEQUENCE_END, b"", _ITEM_END))
    return Case("fragments", [_file(case, 1, "either", pixels, syntax=_JPEG), _file(case, 2, "stored")])


def _repeated(chance: random.Random, case: str) -> Case:
    tag = chance.choice((0x0020000D, 0x0020000E, 0x00080018, 0x00100020))
    vr = b"LO" if tag == 0x00100020 else b"UI"
    again = element(tag, vr, f"{case}.7".encode())
    return Case("repeated", [_file(case, 1, "refused", again), _file(case, 2, "stored")])


def _noise(chance: random.Random, case: str) -> Case:
    good = _file(case, 1, "either", _sequences(chance, 3, implicit=False) + element(0x7FE00010, b"OW", bytes(64)))
    data = bytearray(good.content)
    # What names the file is left alone, or nobody could say what became of it.
    beyond = data.index(f"{case}.1.1".encode()) + len(f"{case}.1.1")
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(beyond, len(data))] = chance.randrange(256)
    changed = HostileFile(bytes(data), good.study, good.instance, good.patient, "either")
    return Case("noise", [changed, _file(case, 2, "stored")])


def _cut(chance: random.Random, case: str) -> Case:
    whole = _file(case, 1, "refused", element(0x7FE00010, b"OW", bytes(64)))
    cut = whole.content[: chance.randrange(132, len(whole.content) - 70)]
    # Cut between two elements that are not needed it would be a whole file without pixels.
    cut = cut[:-1] if len(cut) == len(whole.content) - 76 else cut
    return Case(
        "cut", [HostileFile(cut, whole.study, whole.instance, whole.patient, "refused"), _file(case, 2, "stored")]
    )
