"""Metadata as the PACS wrote them, but for the links: what is parsed, what is not, and what is no JSON."""

import copy
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_service.origin_server.linked_json import LinkedJson, link_datasets, link_text
from dicom_service.patient import Patient
from dicomweb.errors import NotFound, PacsFault
from dicomweb.wado import parse_datasets

ROOT = "https://api.example.org/v1/dicomweb"
BASE = f"{ROOT}/studies/1.2/series/1.3/instances/1.4"
NAMED = ",".join(
    f'"{tag}":{{"vr":"UI","Value":["{uid}"]}}'
    for tag, uid in (("0020000D", "1.2"), ("0020000E", "1.3"), ("00080018", "1.4"))
)


def text_of(found: LinkedJson) -> str:
    return gzip.decompress(found.compressed).decode()


def linked(elements: str) -> str:
    """Return the text of one dataset that has these elements beside its UIDs."""
    return text_of(link_text(f"[{{{NAMED},{elements}}}]".encode(), ROOT))


@pytest.mark.parametrize(
    "number", ["0.10", "1.50", "1E5", "-0.0", "1e-7", "0.1234567890123456789", "12345678901234567890.5", "1e400"]
)
def test_numbers_keep_their_digits(number: str) -> None:
    element = f'"00280030":{{"vr":"DS","Value":[{number},2]}}'
    assert element in linked(element)
    sequence = f'"00089215":{{"vr":"SQ","Value":[{{{element}}}]}}'
    assert sequence in linked(f'{sequence},"7FE00010":{{"vr":"OW","BulkDataURI":"http://pacs.internal/1"}}')


def test_space_between_elements_is_left_out_and_within_text_it_stays() -> None:
    assert '"00081030":{"vr":"LO","Value":[" a  b "]}' in linked(
        '\n "00081030" : {\n"vr":"LO", "Value" : [ " a  b " ]}'
    )


@pytest.mark.parametrize("name", ["BulkDataURI", "Bulk\\u0044ataURI"])
def test_links_lead_to_this_service_at_every_depth(name: str) -> None:
    uri = f'"vr":"OB","{name}":"http://pacs.internal/1"'
    text = linked(f'"00420011":{{{uri}}},"54000100":{{"vr":"SQ","Value":[{{}},{{"54001010":{{{uri}}}}}]}}')
    (row,) = json.loads(text)
    assert row["00420011"] == {"vr": "OB", "BulkDataURI": f"{BASE}/bulkdata/00420011"}
    inner = row["54000100"]["Value"][1]["54001010"]
    assert inner == {"vr": "OB", "BulkDataURI": f"{BASE}/bulkdata/54000100.1.54001010"}
    assert "pacs.internal" not in text


def test_the_url_of_the_instance_is_of_this_service() -> None:
    assert f'"00081190":{{"vr":"UR","Value":["{BASE}"]}}' in linked('"00081190":{"vr":"UR","Value":["http://pacs/1"]}')


def test_names_are_those_of_each_instance() -> None:
    patients = [Patient("P1"), Patient("Pä", "clinic"), Patient("")]
    rows = [
        {
            tag: {"vr": "LO", "Value": [value]}
            for tag, value in (("00100020", each.patient_id), ("00100021", each.issuer))
        }
        for each in patients
    ]
    found = link_text(json.dumps([*rows[:2], {}]).encode(), ROOT)
    assert [Patient.from_dataset(names) for names in found.names] == patients


@pytest.mark.parametrize("written", ['"Müller^Jürgen"', '"M\\u00fcller^J\\u00fcrgen"'])
def test_text_keeps_its_characters(written: str) -> None:
    text = linked(f'"00100010":{{"vr":"PN","Value":[{{"Alphabetic":{written}}}]}}')
    assert json.loads(text)[0]["00100010"]["Value"] == [{"Alphabetic": "Müller^Jürgen"}]


@pytest.mark.parametrize(
    "text",
    [
        b'[{"00280030":{"vr":"DS","Value":[NaN,-Infinity]}}]',
        b'[{"00081030":{"vr":"LO","Value":["\\ud800"]}}]',
        b'\xef\xbb\xbf[{"00081030":{"vr":"LO"}}]',
        '[{"00081030":{"vr":"LO"}}]'.encode("utf-16"),
        b'[{"00081030":"no element"}]',
        b'[{"00081030":{"vr":7}}]',
    ],
    ids=["nan", "surrogate", "mark", "utf-16", "text", "vr"],
)
def test_what_only_the_standard_library_takes_passes(text: bytes) -> None:
    expected = link_datasets(parse_datasets(text), ROOT)
    found = link_text(text, ROOT)
    assert (text_of(found), found.names) == (text_of(expected), expected.names)


@pytest.mark.parametrize(
    "text",
    [
        b"<html>",
        b'[{"00081030":{"vr":"LO","Value":["a\xff"]}}]',
        b'[{"00081030":{"vr":"LO","Value":["a\nb"]}}]',
        b'[{"00081030":{"vr":"LO"}}',
        b'[{"00081030":{"vr":"LO"}}] and more',
        b'[{"00081030":' + b"[" * 100_000,
        b'{"00081030":{"vr":"LO"}}',
        b'["1.2"]',
    ],
    ids=["page", "utf-8", "line", "half", "more", "deep", "object", "texts"],
)
def test_what_are_no_datasets_in_json_is_a_fault_of_the_pacs(text: bytes) -> None:
    with pytest.raises(PacsFault):
        link_text(text, ROOT)


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf[]", "[ ]".encode("utf-16")])
def test_a_list_of_nothing_is_nothing_however_it_is_written(text: bytes) -> None:
    with pytest.raises(NotFound):
        link_text(text, ROOT)


def test_what_was_compared_is_what_is_sent() -> None:
    # GIVEN an element that names its value twice
    text = linked('"00100020":{"vr":"LO","Value":["A"],"Value":["B"]}')
    # THEN the one that is not read is not sent
    assert '"B"' in text
    assert '"A"' not in text


TEXTS = st.text(' aä^\\"\n\0\ud800', max_size=4)
VALUES = TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.none()
URIS: st.SearchStrategy[Any] = st.builds(dict, vr=st.sampled_from(["OB", "OW"]), BulkDataURI=TEXTS)
PLAIN: st.SearchStrategy[Any] = st.builds(
    dict, vr=st.sampled_from(["LO", "DS", "UN"]), Value=st.lists(VALUES, max_size=2)
)
TAGS = st.sampled_from(["00081030", "00081190", "00100020", "00100021", "54000100", "7FE00010", "0020000D"])
DATASETS: st.SearchStrategy[Any] = st.recursive(
    st.dictionaries(TAGS, URIS | PLAIN),
    lambda inner: st.dictionaries(
        TAGS, URIS | PLAIN | st.builds(dict, vr=st.just("SQ"), Value=st.lists(inner, max_size=2))
    ),
    max_leaves=6,
)


@given(st.lists(DATASETS, max_size=3), st.booleans(), st.sampled_from([None, 2]))
def test_the_text_says_what_the_parsed_datasets_say(rows: list[Any], escaped: bool, indent: int | None) -> None:
    text = json.dumps(rows, ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass")
    found, expected = link_text(text, ROOT), link_datasets(copy.deepcopy(rows), ROOT)
    assert json.loads(text_of(found)) == json.loads(text_of(expected))
    assert found.names == expected.names
