"""Counts that a PACS leaves out: found, bounded, and never at the price of the list."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from dicom_service.exams.missing_counts import MOST_SEARCHES, complete_series, complete_studies
from dicomweb.errors import PacsTimeout
from tests.support.fake_client import FakeClient


def row(**values: Any) -> dict[str, Any]:
    return {tag.removeprefix("t"): {"vr": "UI", "Value": [value]} for tag, value in values.items()}


@dataclass
class Found:
    datasets: list[dict[str, Any]]
    more: bool = False


@dataclass
class Archive(FakeClient):  # type: ignore[misc]
    """A PACS whose series have so many instances each, and say so or not."""

    series: dict[str, int]
    says_counts: bool = False
    fails_after: int = 10**6
    searches: list[str] = field(default_factory=list)

    def search_for_series(
        self, study_uid: str, *, limit: int | None, offset: int, includefields: tuple[str, ...]
    ) -> Found:
        self._asked(study_uid)
        rows = [row(t0020000E=uid, t00080060="CT") for uid in self.series]
        if self.says_counts:
            rows = [one | row(t00201209=self.series[uid]) for one, uid in zip(rows, self.series, strict=True)]
        return Found(rows)

    def search_for_instances(self, study_uid: str, series_uid: str | None, *, limit: int | None, offset: int) -> Found:
        self._asked(series_uid or study_uid)
        left = (self.series[series_uid] if series_uid else sum(self.series.values())) - offset
        return Found([{}] * min(left, 2), more=left > 2)

    def _asked(self, uid: str) -> None:
        self.searches.append(uid)
        if len(self.searches) > self.fails_after:
            raise PacsTimeout("too slow")

    @contextlib.contextmanager
    def shared_deadline(self, share: float) -> Iterator[None]:
        assert 0 < share < 1
        yield


def counts(rows: list[dict[str, Any]]) -> list[Any]:
    return [one.get("00201208", {}).get("Value", [None])[0] for one in rows]


@pytest.mark.parametrize("says_counts", [True, False])
def test_series_and_their_instances_are_counted_over_all_pages(says_counts: bool) -> None:
    pacs, rows = Archive({"1.1": 5, "1.2": 1}, says_counts), [row(t0020000D="1")]

    complete_studies(pacs, rows)

    assert {tag: rows[0][tag]["Value"] for tag in ("00201206", "00201208", "00080061")} == {
        "00201206": [2],
        "00201208": [6],
        "00080061": ["CT"],
    }
    assert len(pacs.searches) == (1 if says_counts else 1 + 3 + 1)


def test_what_the_pacs_says_is_left_alone() -> None:
    pacs, rows = Archive({"1.1": 5}), [row(t0020000D="1", t00201206=7, t00201208=8)]

    complete_studies(pacs, rows)
    complete_series(pacs, "1", series := [row(t0020000E="1.1", t00201209=9)])

    assert (counts(rows), series[0]["00201209"]["Value"], pacs.searches) == ([8], [9], [])


def test_a_long_list_causes_no_more_searches_than_that() -> None:
    pacs, rows = Archive({"1.1": 1}), [row(t0020000D=f"1.{number}") for number in range(500)]

    complete_studies(pacs, rows)

    assert len(pacs.searches) == MOST_SEARCHES
    assert counts(rows) == [1] * (MOST_SEARCHES // 2) + [None] * (500 - MOST_SEARCHES // 2)


def test_a_study_of_more_series_than_searches_is_counted_as_a_whole() -> None:
    pacs, rows = Archive({f"1.{number}": 1 for number in range(MOST_SEARCHES)}), [row(t0020000D="1")]

    complete_studies(pacs, rows)

    assert (rows[0]["00201206"]["Value"], counts(rows)) == ([MOST_SEARCHES], [MOST_SEARCHES])
    # One search for the series, and pages of two instances.
    assert pacs.searches == ["1"] * (1 + MOST_SEARCHES // 2)


def test_a_pacs_that_becomes_too_slow_leaves_the_list_without_counts() -> None:
    pacs, rows = Archive({"1.1": 1}, fails_after=3), [row(t0020000D=f"1.{number}") for number in range(5)]

    complete_studies(pacs, rows)

    assert counts(rows) == [1, None, None, None, None]
    assert len(pacs.searches) == 4
