"""A patient is recognized in files of every encoding, broken ones too, and in nobody else's."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from dicom_service import part10 as part10_reader
from dicom_service.erasure import content
from dicom_service.erasure.content import Content, Reader
from dicom_service.erasure.subject import Request, Subject
from dicom_service.patient import Patient, PatientHasher
from tests.support.dicom_files import IMPLICIT, dataset, element, nested, part10
from tests.support.upload_files import ROOT, deflated, zipped

MINE, OTHER = "1.2.3", "1.2.3.4"
PLAIN = part10(dataset())
BIG = bytes(128) + b"DICM" + b"\x00\x10\x00\x20LO\x00\x04P-1 " + b"\x00\x20\x00\x0dUI\x00\x061.2.3\0"
FILES = {
    "explicit": PLAIN,
    "implicit": part10(dataset(implicit=True), IMPLICIT),
    "big endian": BIG,
    "cut off": PLAIN[:-6],
    "nested too deep": part10(dataset() + nested(500)),
    "no DICM": dataset(),
    "behind a zero": b"\0" + element(0x00100020, b"LO", b"P-1") + b"\0" + element(0x0020000D, b"UI", b"1.2.3"),
    "behind 9 MB": b"x" * (9 * 1024 * 1024) + dataset(),
    "in a ZIP": zipped({"a": b"note", "b": PLAIN}),
    "in a ZIP in a ZIP": zipped({"cd.zip": zipped({"b": PLAIN})}),
}


class _NoKeys:
    def current(self) -> tuple[str, bytes]:
        return "k1", bytes(32)

    def find(self, _: str) -> bytes:
        return bytes(32)

    def all(self) -> dict[str, bytes]:
        return {"k1": bytes(32)}


def pieces(data: bytes, size: int = 65_536) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def read(data: bytes, **request: object) -> Content:
    return Reader(Subject(Request(**request), PatientHasher(_NoKeys()))).read(pieces(data))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FILES)
def test_study_and_patient_are_recognized(name: str) -> None:
    assert read(FILES[name], study=MINE).mine
    of_patient = read(FILES[name], patient=Patient.of("P-1"))
    assert (of_patient.mine, of_patient.studies) == (True, {MINE})
    assert not read(FILES[name], study=OTHER).mine
    assert not read(FILES[name], study="1.2").mine
    assert not read(FILES[name], patient=Patient.of("P-10")).mine


def test_a_deflated_file_is_inflated() -> None:
    assert read(deflated(), study=f"{ROOT}.1").mine
    assert read(deflated(), patient=Patient.of("P1")).studies == {f"{ROOT}.1"}
    assert not read(deflated(), study=MINE).mine


def test_a_deflated_file_waits_for_as_long_as_others_are_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part10_reader, "LONGEST_WAIT", 0.01)
    with ThreadPoolExecutor(1) as pool:
        with part10_reader._INFLATING:
            reading = pool.submit(read, deflated(), study=f"{ROOT}.1")
            assert not wait([reading], 0.1).done
        assert reading.result(10).mine


@pytest.mark.parametrize("cut", [1, 7, 11, 13])
def test_a_value_across_two_windows_is_seen(cut: int) -> None:
    """The window ends `cut` bytes into the element; half a value is nobody's."""
    data = dataset(StudyInstanceUID=OTHER.encode())
    place = data.index(b"\x20\x00\x0d\x00") + cut
    window = 4 * 1024 * 1024
    data = b"x" * (window - place) + data
    assert read(data, study=OTHER).mine
    assert not read(data, study=MINE).mine


def test_names_of_entries_and_words_count() -> None:
    packed = zipped({"MUELLER/1.txt": b"x"})
    assert read(packed, study=MINE, texts=("MUELLER",)).mine
    assert read(b"Dear MUELLER", study=MINE, texts=("MUELLER",)).mine
    assert not read(b"Dear MUELLER", study=MINE, texts=("MUELLER ANNA",)).mine


def _bomb(monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(content, "_MOST_UNPACKED", 1_000_000)
    return zipped({"a": bytes(2_000_000), "b": PLAIN})


DAMAGED: dict[str, Callable[[pytest.MonkeyPatch], bytes]] = {
    "bomb": _bomb,
    "cut off": lambda _: zipped({"a": PLAIN})[:-30],
    "a ZIP too deep": lambda _: zipped({"a": zipped({"a": zipped({"a": zipped({"a": PLAIN})})})}),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_opened_is_said(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = read(DAMAGED[name](monkeypatch), study=MINE)
    assert (found.mine, found.unread) == (False, True)


def test_somebody_else_in_a_zip_is_noticed() -> None:
    mixed = zipped({"a": PLAIN, "b": part10(dataset(StudyInstanceUID=b"1.2.9", PatientID=b"P-2"))})
    found = read(mixed, study=MINE)
    assert (found.mine, found.others) == (True, True)
    assert not read(zipped({"a": PLAIN, "b": b"note"}), study=MINE).others
