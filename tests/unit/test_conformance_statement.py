"""The DICOM conformance statement says what the code does: its tables and limits are compared with it."""

import re
from pathlib import Path

import pytest

from dicom_service import native_syntaxes, part10
from dicom_service.element_walk import MAX_DEPTH
from dicom_service.exams import listing
from dicom_service.origin_server.accept import OCTETS
from dicom_service.origin_server.frames import MOST_FRAMES
from dicom_service.origin_server.search import DEFAULT_STUDIES
from dicom_service.origin_server.transfer_syntaxes import _SYNTAXES
from dicom_service.query import MAX_LIMIT
from dicom_service.uid_registry import MAX_COUNT
from dicom_service.uploads.settings import LARGEST_FILE, MOST_FILES
from dicomweb.worklist.attributes import ATTRIBUTES
from dicomweb.worklist.ups import UPS_PUSH
from dicomweb.worklist.ups_rs import DIALECTS
from imaging import decode
from imaging.classification import MAX_FRAME_BYTES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/conformance.md").read_text("utf-8")
UPLOAD_EXAM = (ROOT / "functions/upload_exam/app.py").read_text("utf-8")


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_pictures_are_decoded_from_the_listed_transfer_syntaxes() -> None:
    listed = set(re.findall(r"^\| [^|]+ \| `([\d.]+)` \|", section("Transfer syntaxes"), re.M))
    assert len(listed) > 10
    assert listed == decode._NATIVE | set(decode._PLUGINS) | {native_syntaxes.DEFLATED}


def test_transfer_syntaxes_have_the_names_of_the_standard() -> None:
    from pydicom.uid import UID

    rows = re.findall(r"^\| ([^|]+) \| `([\d.]+)` \|", section("Transfer syntaxes"), re.M)
    assert rows
    for name, uid in rows:
        official = UID(uid).name.replace("High-Throughput JPEG 2000", "HTJ2K")
        first = name.replace(",", "").split()[0]
        assert first in official, (name, official)


def test_attributes_of_workitems_are_listed() -> None:
    rows = re.findall(r"^\| (\w+) \| \((\w{4}),(\w{4})\) \| (\w\w) \| (R?) ?\|", section("Attributes"), re.M)
    listed = {(keyword, group + element, vr, required == "R") for keyword, group, element, vr, required in rows}
    assert listed == {(each.keyword, each.tag, each.vr, each.required) for each in ATTRIBUTES}


def test_attributes_read_from_a_file_are_listed() -> None:
    paragraph = section("Attributes").split("**Read from a file**")[1].split("\n\n")[0]
    dataset = paragraph.partition("TransferSyntaxUID (0002,0010)")[2]
    found = re.findall(r"(\w+)\s\((\w{4}),(\w{4})\)", dataset)
    listed = {int(group + element, 16): name for name, group, element in found}
    assert listed == part10._WANTED


class _Recorder:
    """Stands for a query: gives each parameter's own name as its value."""

    def exact(self, name: str, *, longest: int = 64) -> str:
        return name

    def name_pattern(self, name: str) -> str:
        return name

    def uid(self, name: str) -> str:
        return name

    def date_range(self, first: str, last: str) -> tuple[str, str]:
        return first, last


def test_matching_keys_of_studies_are_listed() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| (\w+) \| (single value|wildcard|range)", section("Attributes"), re.M)
    listed = {keyword: "-".join(re.findall(r"`(\w+)`", names)) for names, keyword, _ in rows}
    assert listed == listing.study_filters(_Recorder())  # type: ignore[arg-type]


def test_the_media_types_of_frames_are_listed() -> None:
    (row,) = re.findall(r"^\| WADO-RS frames .*$", section("Services offered as an origin server"), re.M)
    offered = {name for name in _SYNTAXES if not name.startswith("video/")} | {OCTETS, "multipart/related"}
    assert set(re.findall(r"`([a-z]+/[\w-]+)`", row)) == offered


def test_the_ups_class_and_dialects_are_named() -> None:
    assert f"`{UPS_PUSH}`" in TEXT
    assert all(f"`{dialect}`" in section("Services used as a user agent") for dialect in DIALECTS)


@pytest.mark.parametrize(
    ("row", "value"),
    [
        ("files in one `POST /exams` | 4.5 MB in all", "\nLARGEST_BODY = 4_500_000\n" in UPLOAD_EXAM),
        ("one file, or ZIP, of `POST /uploads` | 5 GiB; 1,000 files", (LARGEST_FILE, MOST_FILES) == (5 << 30, 1000)),
        ("nesting of sequences | 24 (`MaxSequenceDepth`)", MAX_DEPTH == 24),
        ("rows of a search | 1,000 a page", MAX_LIMIT == 1000),
        ("studies of a search below `/dicomweb` without `limit` | 1,000", DEFAULT_STUDIES == 1000),
        ("frames of one request | 100", MOST_FRAMES == 100),
        ("UIDs of one call | 10,000", MAX_COUNT == 10_000),
        ("one decoded frame | 512 MiB", MAX_FRAME_BYTES == 512 << 20),
    ],
)
def test_limits_are_those_of_the_code(row: str, value: bool) -> None:
    assert f"\n| {row} |\n" in section("Limits")
    assert value
