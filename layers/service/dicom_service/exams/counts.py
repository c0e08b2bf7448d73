"""Counts what a PACS leaves out of its lists: series, instances and modalities of an exam (PS3.18 Table 10.6.3-3).

The standard has every PACS return these numbers, and some do not. They are then found by searching below, a bounded
number of times for each list, so that a long list does not turn into thousands of searches: rows beyond that stay as
the PACS gave them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from dicom_service import log
from dicomweb.errors import DicomwebError

logger = log.get_logger()

MOST_SEARCHES = 100
_PAGE = 1000
# The part of the time of a request that counting may take; a list without numbers is better than none.
_SHARE = 0.4
_STUDY_UID, _SERIES_UID, _MODALITY = "0020000D", "0020000E", "00080060"
_MODALITIES, _STUDY_SERIES, _STUDY_INSTANCES, _SERIES_INSTANCES = "00080061", "00201206", "00201208", "00201209"


class Result(Protocol):
    """A page of a search."""

    @property
    def datasets(self) -> list[dict[str, Any]]:
        """Rows in the DICOM JSON Model."""

    @property
    def more(self) -> bool:
        """Whether there are rows behind these."""


class Searches(Protocol):
    """The searches of a `dicomweb.client.DicomwebClient` below a study."""

    def search_for_series(
        self, study_uid: str, *, limit: int | None, offset: int, includefields: tuple[str, ...]
    ) -> Result:
        """Search the series of a study (PS3.18 §10.6)."""

    def search_for_instances(self, study_uid: str, series_uid: str, *, limit: int | None, offset: int) -> Result:
        """Search the instances of a series."""

    def shared_deadline(self, share: float) -> Any:
        """Bound the time of all that is asked inside."""


class _Enough(Exception):
    """The searches that one list may cause are used up."""


class _Counter:
    """Counts, and counts its searches."""

    def __init__(self, pacs: Searches) -> None:
        self._pacs = pacs
        self._left = MOST_SEARCHES

    def _one_more(self) -> None:
        if self._left == 0:
            raise _Enough
        self._left -= 1

    def complete_study(self, row: dict[str, Any]) -> None:
        """Put the numbers into a row of a study, all or none."""
        study_uid = text(row, _STUDY_UID)
        if not study_uid or all(text(row, tag) for tag in (_STUDY_SERIES, _STUDY_INSTANCES)):
            return
        series = list(pages(lambda offset: self._series(study_uid, offset)))
        for one in series:
            self.complete_series(study_uid, one)
        modalities = sorted({text(one, _MODALITY) for one in series} - {""})
        row[_STUDY_SERIES] = {"vr": "IS", "Value": [len(series)]}
        row[_STUDY_INSTANCES] = {"vr": "IS", "Value": [sum(int(text(one, _SERIES_INSTANCES)) for one in series)]}
        if not text(row, _MODALITIES) and modalities:
            row[_MODALITIES] = {"vr": "CS", "Value": modalities}

    def complete_series(self, study_uid: str, row: dict[str, Any]) -> None:
        """Put the number of instances into a row of a series."""
        if not text(row, _SERIES_INSTANCES).isdecimal():
            count = sum(1 for _ in pages(lambda offset: self._instances(study_uid, text(row, _SERIES_UID), offset)))
            row[_SERIES_INSTANCES] = {"vr": "IS", "Value": [count]}

    def _series(self, study_uid: str, offset: int) -> Result:
        self._one_more()
        fields = ("NumberOfSeriesRelatedInstances",)
        return self._pacs.search_for_series(study_uid, limit=_PAGE, offset=offset, includefields=fields)

    def _instances(self, study_uid: str, series_uid: str, offset: int) -> Result:
        self._one_more()
        return self._pacs.search_for_instances(study_uid, series_uid, limit=_PAGE, offset=offset)


def complete_studies(pacs: Searches, rows: Sequence[dict[str, Any]]) -> None:
    """Add the counts and modalities that the PACS left out of a list of studies, as far as they are soon found."""
    _complete(pacs, rows, lambda counter, row: counter.complete_study(row))


def complete_series(pacs: Searches, study_uid: str, rows: Sequence[dict[str, Any]]) -> None:
    """Add the counts that the PACS left out of a list of series, as far as they are soon found."""
    _complete(pacs, rows, lambda counter, row: counter.complete_series(study_uid, row))


def _complete(
    pacs: Searches, rows: Sequence[dict[str, Any]], complete: Callable[[_Counter, dict[str, Any]], None]
) -> None:
    counter = _Counter(pacs)
    try:
        with pacs.shared_deadline(_SHARE):
            for row in rows:
                complete(counter, row)
    except _Enough:
        logger.info("list without some counts", extra={"rows": len(rows)})
    except DicomwebError as error:
        logger.warning("list without counts", extra=log.describe(error))


def pages(search: Callable[[int], Result]) -> Iterator[dict[str, Any]]:
    """Give the rows of a search page after page; `search` takes the offset."""
    offset = 0
    while True:
        page = search(offset)
        yield from page.datasets
        offset += len(page.datasets)
        if not page.more or not page.datasets:
            return


def text(row: Mapping[str, Any], tag: str) -> str:
    """Give the first value of an element as text; empty when it has none."""
    values = row.get(tag, {}).get("Value") or [""]
    return str(values[0] if values[0] is not None else "").strip()
