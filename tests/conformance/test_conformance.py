"""What works with Orthanc and with tiny_pacs is what docs/pacs.md says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from dicomweb.auth import make_auth
from dicomweb.client import DicomwebClient, Quirks
from local.orthanc import Orthanc
from local.settings import Pacs
from local.tinypacs import TinyPacs
from tests.support.conformance import Result, Subject, run, some_exam, store_exam, table
from tests.support.faults import FaultyProxy
from tests.support.stack import running_orthanc, running_tiny_pacs

DOCUMENT = Path(__file__).parents[2] / "docs" / "pacs.md"
ORTHANC_OF_THE_DOCUMENT = "1.10.1"


@pytest.fixture(scope="module")
def orthanc() -> Iterator[Orthanc]:
    with running_orthanc() as server:
        yield server


@pytest.fixture(scope="module")
def tiny() -> Iterator[TinyPacs]:
    with running_tiny_pacs() as server:
        yield server


def client(pacs: Pacs, url: str = "") -> DicomwebClient:
    auth = make_auth(pacs.auth, {"username": pacs.user, "password": pacs.password})
    return DicomwebClient(url or pacs.url, auth=auth, quirks=Quirks.parse(pacs.quirks))


def report(pacs: DicomwebClient) -> list[Result]:
    return list(run(Subject(pacs, store_exam(pacs), store=True)))


def documented(column: int) -> list[Result]:
    """The results of one PACS in the document; columns count from 0."""
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    begin = next(number for number, line in enumerate(lines) if line.startswith("| operation of the service"))
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[begin + 1 :]]
    return [Result(row[0], row[1], row[column]) for row in rows]


def test_orthanc(orthanc: Orthanc) -> None:
    pacs = orthanc.pacs()
    results = report(client(pacs))

    assert not [result for result in results if result.is_bad], table(results)
    version = requests.get(f"{orthanc.url}/system", auth=(pacs.user, pacs.password), timeout=10).json()["Version"]
    if version == ORTHANC_OF_THE_DOCUMENT:
        assert results == documented(3), table(results)


def test_tiny_pacs(tiny: TinyPacs) -> None:
    results = report(client(tiny.pacs))

    assert len(results) > 15
    assert results == documented(4), table(results)


def test_reading_only_stores_nothing(tiny: TinyPacs) -> None:
    pacs = client(tiny.pacs)
    study = store_exam(pacs)
    before = len(pacs.search_for_studies().datasets)

    with FaultyProxy(tiny.pacs.url) as proxy:
        seen = client(tiny.pacs, proxy.url)
        assert some_exam(seen)
        results = list(run(Subject(seen, study, store=False)))

        assert proxy.asked and not proxy.met
    assert [result.outcome.startswith("not tried") for result in results[-2:]] == [True, True]
    assert len(pacs.search_for_studies().datasets) == before


@pytest.mark.parametrize(
    ("lacks", "broken"),
    [("instances", "`GET …/instances`"), ("series", "`GET …/series`"), ("studies", "`GET /health`")],
)
def test_what_does_not_work_is_said(orthanc: Orthanc, lacks: str, broken: str) -> None:
    pacs = orthanc.pacs()
    study = store_exam(client(pacs))
    with FaultyProxy(pacs.url) as proxy:
        subject = Subject(client(pacs, proxy.url), study, store=False)
        assert not [result for result in run(subject) if result.is_bad]
        proxy.lacks = {lacks: 500}

        assert [result.operation for result in run(subject) if result.operation == broken and result.is_bad] == [broken]
