"""Searching, against PACS of several habits."""

from __future__ import annotations

from typing import Any

import pytest

from dicomweb.client import DicomwebClient, Endpoints, Quirks, Timeouts
from dicomweb.errors import InvalidUid, NotSupported, PacsFault, RequestRejected
from tests.support.pacs import Answer, FakePacs, Handler, Received, answer, dicom_json, html

PATIENT = Timeouts(connect=5.0, read=5.0, total=20.0)


def client(pacs: FakePacs, quirks: str = "") -> DicomwebClient:
    return DicomwebClient(pacs.url, timeouts=PATIENT, quirks=Quirks.parse(quirks))


def row(number: int, name: str = "ROSSI^MARIO") -> dict[str, Any]:
    return {
        "0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": name}]},
    }


def holding(rows: list[dict[str, Any]], *, cap: int = 10_000, warn: bool = False) -> Answer:
    """A PACS with these rows that gives at most so many at once, and says so when it warns."""

    def give(handler: Handler, received: Received) -> None:
        query = received.query
        offset = int(query.get("offset", 0))
        some = rows[offset:][: min(int(query.get("limit", cap)), cap)]
        left = len(rows) - offset - len(some)
        text = f"299 pacs: There are {left} additional results that can be requested"
        headers = {"Warning": text} if warn and left else {}
        dicom_json(some, 200, **headers)(handler, received)

    return give


@pytest.mark.parametrize("nothing", [answer(204), dicom_json([]), answer(200)])
def test_nothing_found(nothing: Answer) -> None:
    with FakePacs(nothing) as pacs:
        result = client(pacs).search_for_studies({"PatientID": "1"}, limit=10)
    assert (result.datasets, result.more) == ([], False)


def test_parameters_are_encoded() -> None:
    filters = {"PatientName": "O'NEILL^M&B Ü*", "StudyDate": "20240101-20240131", "StudyInstanceUID": "1.2,1.3"}
    with FakePacs(dicom_json([])) as pacs:
        client(pacs).search_for_studies(filters, limit=10, offset=20, fuzzy=True, includefields=["StudyDescription"])
    (received,) = pacs.received
    assert received.path == "/dicom-web/studies"
    assert received.query == {
        **filters,
        "limit": "11",
        "offset": "20",
        "fuzzymatching": "true",
        "includefield": "StudyDescription",
    }
    assert received.headers["accept"] == "application/dicom+json"


def test_paths_below_a_study() -> None:
    with FakePacs(dicom_json([])) as pacs:
        client(pacs).search_for_series("1.2", {"Modality": "CT"})
        client(pacs).search_for_instances("1.2")
        client(pacs).search_for_instances("1.2", "1.3")
    assert [r.target.removeprefix("/dicom-web") for r in pacs.received] == [
        "/studies/1.2/series?Modality=CT",
        "/studies/1.2/instances",
        "/studies/1.2/series/1.3/instances",
    ]


def test_uids_are_checked_before_anything_is_sent() -> None:
    with FakePacs(dicom_json([])) as pacs:
        for search in (client(pacs).search_for_series, client(pacs).search_for_instances):
            with pytest.raises(InvalidUid):
                search("1.2/../../patients")
    assert pacs.received == []


@pytest.mark.parametrize(("rows", "limit", "more"), [(3, 3, False), (4, 3, True), (2, 3, False), (1, 1, False)])
@pytest.mark.parametrize("warn", [True, False])
def test_more_rows_are_told_of(rows: int, limit: int, more: bool, warn: bool) -> None:
    with FakePacs(holding([row(n) for n in range(rows)], warn=warn)) as pacs:
        result = client(pacs).search_for_studies(limit=limit)
    assert len(result.datasets) == min(rows, limit)
    assert result.more is more


def test_without_a_limit_the_warning_tells_of_more() -> None:
    with FakePacs(holding([row(n) for n in range(5)], cap=3, warn=True)) as pacs:
        result = client(pacs).search_for_studies()
    assert (len(result.datasets), result.more) == (3, True)


def test_fuzzy_warning_is_not_taken_for_more_rows() -> None:
    warning = "299 pacs: The fuzzymatching parameter is not supported. Only literal matching has been performed."
    with FakePacs(dicom_json([row(1)], Warning=warning)) as pacs:
        assert client(pacs).search_for_studies(limit=1, fuzzy=True).more is False


def test_short_pages_of_a_pacs_with_a_ceiling_are_put_together() -> None:
    """GIVEN a PACS that gives 3 rows at most, and warns WHEN 5 are asked for THEN there are 5, and none twice."""
    with FakePacs(holding([row(n) for n in range(9)], cap=3, warn=True)) as pacs:
        result = client(pacs).search_for_studies(limit=5, offset=1)
    assert result.datasets == [row(n) for n in range(1, 6)]
    assert result.more


def test_quirk_max_page() -> None:
    with FakePacs(holding([row(n) for n in range(9)])) as pacs:
        result = client(pacs, "max-page=4").search_for_studies(limit=7)
        everything = client(pacs, "max-page=4").search_for_studies()
    assert result.datasets == [row(n) for n in range(7)]
    assert result.more
    assert (len(everything.datasets), everything.more) == (9, False)
    assert max(int(r.query["limit"]) for r in pacs.received) == 4


def test_quirk_no_fuzzy() -> None:
    with FakePacs(dicom_json([])) as pacs:
        client(pacs, "no-fuzzy").search_for_studies(fuzzy=True)
    assert "fuzzymatching" not in pacs.received[0].query


def test_quirk_raw_query_sends_wildcards_and_compares_here() -> None:
    rows = [row(1, "O'NEILL^MARY"), row(2, "OXNEILL^MARY"), row(3, "O'NEILL MARY")]
    with FakePacs(holding(rows)) as pacs:
        result = client(pacs, "raw-query").search_for_studies({"PatientName": "O'NEILL^MARY", "PatientID": "A,B*"})
    assert pacs.received[0].target.endswith("/studies?PatientName=O?NEILL?MARY&PatientID=A,B*")
    assert result.datasets == rows[:1]


def test_quirk_raw_query_beyond_ascii() -> None:
    with FakePacs(holding([row(1, "MÜLLER^A"), row(2, "MULLER^A"), row(3, "MXXXLLER^A")])) as pacs:
        result = client(pacs, "raw-query").search_for_studies({"PatientName": "m?ller^a"})
        assert result.datasets == [row(1, "MÜLLER^A"), row(2, "MULLER^A")]
        result = client(pacs, "raw-query").search_for_studies({"PatientName": "MÜLLER^*"})
        assert result.datasets == [row(1, "MÜLLER^A")]
    assert pacs.received[0].target.endswith("PatientName=m*ller?a")


def test_quirk_raw_query_pages_over_the_rows_that_match() -> None:
    """GIVEN every tenth of 1000 rows matching WHEN paged THEN each match comes once, in order."""
    rows = [row(n, "A B" if n % 10 == 0 else "AxB") for n in range(1000)]
    found: list[dict[str, Any]] = []
    with FakePacs(holding(rows)) as pacs:
        for offset in range(0, 120, 30):
            result = client(pacs, "raw-query").search_for_studies({"PatientName": "A B"}, limit=30, offset=offset)
            assert result.more is (offset <= 60)
            found += result.datasets
    assert found == [row(n, "A B") for n in range(0, 1000, 10)]


def test_quirk_raw_query_refuses_what_it_cannot_compare() -> None:
    with FakePacs(dicom_json([])) as pacs, pytest.raises(RequestRejected):
        client(pacs, "raw-query").search_for_studies({"SomethingElse": "A B"})
    assert pacs.received == []


@pytest.mark.parametrize("answered", [html(), dicom_json({"a": 1}), dicom_json(["a"]), answer(200, b"[" * 100_000)])
def test_what_is_no_list_of_datasets_is_a_fault(answered: Answer) -> None:
    with FakePacs(answered) as pacs, pytest.raises(PacsFault):
        client(pacs).search_for_studies()


def test_404_is_no_rows_below_a_study_and_no_service_at_the_root() -> None:
    with FakePacs(answer(404)) as pacs:
        assert client(pacs).search_for_series("1.2").datasets == []
        assert client(pacs).search_for_instances("1.2").datasets == []
        with pytest.raises(NotSupported):
            client(pacs).search_for_studies()
        with pytest.raises(NotSupported):
            client(pacs).ping()


def test_ping_is_cheap() -> None:
    with FakePacs(answer(204)) as pacs:
        client(pacs).ping()
    assert pacs.received[0].target.endswith("/studies?limit=1")


def test_endpoint_elsewhere() -> None:
    with FakePacs(dicom_json([])) as pacs:
        DicomwebClient("http://pacs.invalid", endpoints=Endpoints(qido=pacs.url + "/qido/")).search_for_studies()
    assert pacs.received[0].path == "/dicom-web/qido/studies"


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (-1, 0), (1, -1)])
def test_senseless_paging(limit: int, offset: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        DicomwebClient("http://pacs.invalid").search_for_studies(limit=limit, offset=offset)
