"""Reading and matching datasets in the DICOM JSON Model (PS3.18 annex F), without a dictionary of all of DICOM."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Dataset = dict[str, Any]
"""One dataset in the DICOM JSON Model: eight hexadecimal digits → ``{"vr": …, "Value": […]}``."""

TAGS = {
    "SpecificCharacterSet": "00080005",
    "SOPClassUID": "00080016",
    "SOPInstanceUID": "00080018",
    "StudyDate": "00080020",
    "SeriesDate": "00080021",
    "StudyTime": "00080030",
    "SeriesTime": "00080031",
    "AccessionNumber": "00080050",
    "Modality": "00080060",
    "ModalitiesInStudy": "00080061",
    "InstitutionName": "00080080",
    "ReferringPhysicianName": "00080090",
    "StationName": "00081010",
    "StudyDescription": "00081030",
    "SeriesDescription": "0008103E",
    "PatientName": "00100010",
    "PatientID": "00100020",
    "IssuerOfPatientID": "00100021",
    "PatientBirthDate": "00100030",
    "PatientSex": "00100040",
    "BodyPartExamined": "00180015",
    "StudyInstanceUID": "0020000D",
    "SeriesInstanceUID": "0020000E",
    "StudyID": "00200010",
    "SeriesNumber": "00200011",
    "InstanceNumber": "00200013",
    "NumberOfFrames": "00280008",
    "PerformedProcedureStepStartDate": "00400244",
    "PerformedProcedureStepStartTime": "00400245",
}
"""Tags of the attributes that searches are made by (PS3.18 table 10.6.1-5) and a few that they return."""

_RANGED = frozenset(("DA", "TM", "DT"))
NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Parameters
    ----------
    datasets
        Rows in the DICOM JSON Model.
    more
        Whether the PACS has further rows behind these.
    """

    datasets: list[Dataset]
    more: bool


def tag_of(attribute: str) -> str | None:
    """Return the tag of a keyword in :data:`TAGS`, or of eight hexadecimal digits; None for any other."""
    if re.fullmatch("[0-9A-Fa-f]{8}", attribute):
        return attribute.upper()
    return TAGS.get(attribute)


def values(dataset: Mapping[str, Any], tag: str) -> list[Any]:
    """Return all values of an attribute, none when it is absent, empty or malformed."""
    element = dataset.get(tag)
    found = element.get("Value") if isinstance(element, dict) else None
    return found if isinstance(found, list) else []


def value(dataset: Mapping[str, Any], tag: str) -> Any:
    """Return the first value of an attribute, or None."""
    return next(iter(values(dataset, tag)), None)


def items(dataset: Mapping[str, Any], tag: str) -> list[Dataset]:
    """Return the items of a sequence."""
    return [item for item in values(dataset, tag) if isinstance(item, dict)]


def first_item(dataset: Mapping[str, Any], tag: str) -> Dataset:
    """Return the first item of a sequence, empty when there is none."""
    return next(iter(items(dataset, tag)), {})


def text(dataset: Mapping[str, Any], tag: str) -> str:
    """Return an attribute as one string, several values joined by a backslash; empty when it has no value.

    The component groups of a person name are joined by ``=`` (PS3.5 section 6.2.1). Values that are not in the form of
    PS3.18 section F.2 read as empty: a PACS may send anything.
    """
    return "\\".join(_plain(each) for each in values(dataset, tag) if each is not None)


def matches(dataset: Mapping[str, Any], tag: str, wanted: str) -> bool:
    r"""Return whether an attribute matches a search value (PS3.4 section C.2.2.2).

    An empty value matches everything, ``*`` and ``?`` are wildcards in text, ``from-to`` is a range of dates or times,
    ``,`` or ``\`` separates UIDs in a list. Person names are compared without regard to case.

    Parameters
    ----------
    dataset
        One row of a search result.
    tag
        The attribute, eight hexadecimal digits.
    wanted
        The search value.
    """
    if not wanted.strip("*"):
        return True
    element = dataset.get(tag)
    vr = element.get("vr") if isinstance(element, dict) else None
    found = values(dataset, tag)
    if vr == "UI":
        return any(uid in re.split(r"[,\\]", wanted) for uid in found)
    if vr in _RANGED and "-" in wanted:
        return any(_within(str(moment), wanted) for moment in found)
    if vr == "PN":
        same = _like(_trimmed(wanted.casefold()))
        return any(same(_trimmed(text.casefold())) for name in found for text in _groups(name))
    same = _like(wanted.strip())
    return any(same(str(text).strip()) for text in found)


def _plain(found: Any) -> str:
    if isinstance(found, dict):
        return "=".join(str(found.get(group, "")) for group in NAME_GROUPS).rstrip("=")
    return str(found)


def _within(moment: str, wanted: str) -> bool:
    """Compare as text: a shorter bound stands for all that begins with it."""
    first, _, last = wanted.partition("-")
    return bool(moment) and moment[: len(first)] >= first and (not last or moment[: len(last)] <= last)


def _groups(name: Any) -> list[str]:
    if isinstance(name, str):
        return [name, *name.split("=")]
    return [str(group) for group in name.values()] if isinstance(name, dict) else []


def _trimmed(name: str) -> str:
    return name.strip().rstrip("^ ")


def _like(wanted: str) -> Callable[[str], object]:
    pattern = "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in wanted)
    return re.compile(pattern, re.DOTALL).fullmatch
