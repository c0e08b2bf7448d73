"""UIDs, quirks and matching of rows on our side."""

from __future__ import annotations

from typing import Any

import pytest

from dicomweb.dataset import matches, tag_of, text, value, values
from dicomweb.errors import DicomwebError, InvalidUid
from dicomweb.quirks import Quirks
from dicomweb.uid import check_uid


@pytest.mark.parametrize("uid", ["1", "1.2.840.10008", "2.25." + "9" * 59, "1.02"])
def test_uids(uid: str) -> None:
    assert check_uid(uid) == uid


@pytest.mark.parametrize(
    "uid", ["", ".", "1.", ".1", "1..2", "1.2/../3", "../1", "1.2\n", "1.2 ", "1.a", "1.٣", "1" * 65, "1%2e2"]
)
def test_not_uids(uid: str) -> None:
    with pytest.raises(InvalidUid) as caught:
        check_uid(uid)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, DicomwebError)


def test_quirks() -> None:
    assert Quirks.parse("") == Quirks()
    assert Quirks.parse(" raw-query, no-fuzzy ,max-page=200") == Quirks(True, True, 200)


@pytest.mark.parametrize("setting", ["raw", "max-page", "max-page=0", "max-page=x", "raw-query=1"])
def test_unknown_quirks_are_named(setting: str) -> None:
    with pytest.raises(ValueError, match=setting.partition("=")[0]):
        Quirks.parse(setting)


def element(vr: str, *found: Any) -> dict[str, Any]:
    return {"00100010": {"vr": vr, "Value": list(found)}}


@pytest.mark.parametrize(
    ("vr", "stored", "wanted", "matching"),
    [
        ("LO", "A 1/1", "A 1/1", True),
        ("LO", "A 1/1", "a 1/1", False),
        ("LO", "A 1/12", "A 1/1", False),
        ("LO", "A.1", "A?1", True),
        ("LO", "AB1", "A.1", False),
        ("LO", "ABC", "A*", True),
        ("LO", "ABC", "*B*", True),
        ("LO", "ABC", "B*", False),
        ("LO", "ABC ", "ABC", True),
        ("PN", {"Alphabetic": "ROSSI^MARIO"}, "rossi^mario", True),
        ("PN", {"Alphabetic": "ROSSI^MARIO^^^"}, "ROSSI^MARIO", True),
        ("PN", {"Alphabetic": "ROSSI^MARIO"}, "ROSSI", False),
        ("PN", {"Alphabetic": "O'NEILL^MARY"}, "o'neill*", True),
        ("PN", {"Alphabetic": "Yamada^Taro", "Ideographic": "山田^太郎"}, "山田*", True),
        ("PN", "ROSSI^MARIO", "ROSSI^MARIO", True),
        ("UI", "1.2.3", "1.2.3", True),
        ("UI", "1.2.3", "1.2,1.2.3", True),
        ("UI", "1.2.3", "1.2\\1.2.3", True),
        ("UI", "1.2.3", "1.2", False),
        ("UI", "1.2.3", "1.2.*", False),
        ("DA", "20240115", "20240115", True),
        ("DA", "20240115", "20240101-20240131", True),
        ("DA", "20240115", "20240115-20240115", True),
        ("DA", "20240115", "-20240114", False),
        ("DA", "20240115", "-20240115", True),
        ("DA", "20240115", "20240116-", False),
        ("TM", "113000.5", "10-11", True),
        ("TM", "113000", "1131-", False),
        ("IS", 3, "3", True),
        ("CS", "CT", "MR", False),
    ],
)
def test_matching(vr: str, stored: Any, wanted: str, matching: bool) -> None:
    assert matches(element(vr, stored), "00100010", wanted) is matching


def test_any_of_several_values_matches() -> None:
    assert matches(element("CS", "CT", "PT"), "00100010", "PT")


@pytest.mark.parametrize("wanted", ["", "*", "**"])
def test_universal_matching_takes_absent_values(wanted: str) -> None:
    assert matches({}, "00100010", wanted)
    assert not matches({}, "00100010", "X*")


def test_malformed_rows_have_no_values() -> None:
    for row in ({}, {"00100010": "x"}, {"00100010": {"vr": "PN"}}, {"00100010": {"vr": "PN", "Value": "x"}}):
        assert values(row, "00100010") == []
        assert value(row, "00100010") is None
        assert text(row, "00100010") == ""


@pytest.mark.parametrize(
    ("name", "joined"),
    [
        ({"Alphabetic": "Yamada^Taro", "Phonetic": "やまだ^たろう"}, "Yamada^Taro==やまだ^たろう"),
        ({"Alphabetic": "Yamada^Taro"}, "Yamada^Taro"),
        ({}, ""),
    ],
)
def test_text_joins_the_groups_of_a_name(name: dict[str, str], joined: str) -> None:
    assert text(element("PN", name), "00100010") == joined


def test_text_joins_several_values_without_the_empty_ones() -> None:
    assert text(element("LO", "Nickel", None, "Latex"), "00100010") == "Nickel\\Latex"


def test_tags() -> None:
    assert tag_of("PatientName") == "00100010"
    assert tag_of("0008103e") == "0008103E"
    assert tag_of("NoSuchThing") is None
