"""Completes lists with the numbers that a PACS leaves out: series, instances and modalities (PS3.18 Table 10.6.3-3).

The standard has every PACS return these numbers, but some do not. They are then counted by further searches, a bounded
number for each list, so that a long list does not turn into thousands of searches. Further rows stay as they are.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dicom_service import log
from dicom_service.pacs import all_rows
from dicomweb.dataset import SearchResult, text
from dicomweb.errors import DicomwebError

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = log.get_logger()

MOST_SEARCHES = 100
_PAGE = 1000
# The share of a request's time for counting; a list without numbers is better than none.
_SHARE = 0.4
_STUDY_UID, _SERIES_UID, _MODALITY = "0020000D", "0020000E", "00080060"
_MODALITIES, _STUDY_SERIES, _STUDY_INSTANCES, _SERIES_INSTANCES = "00080061", "00201206", "00201208", "00201209"


class _SearchesUsedUp(Exception):
    """The searches for one list are used up."""


class _Counter:
    """Counts by a limited number of searches."""

    def __init__(self, pacs: "DicomwebClient") -> None:
        self._pacs = pacs
        self._left = MOST_SEARCHES

    def _use_one(self) -> None:
        if self._left == 0:
            raise _SearchesUsedUp
        self._left -= 1

    def complete_study(self, row: dict[str, Any]) -> None:
        """Add the numbers to a row of a study, all or none."""
        study_uid = text(row, _STUDY_UID)
        if not study_uid or all(text(row, tag) for tag in (_STUDY_SERIES, _STUDY_INSTANCES)):
            return
        series = list(all_rows(lambda offset: self._series(study_uid, offset)))
        instances = self._count_instances(study_uid, series)
        modalities = sorted({text(one, _MODALITY) for one in series} - {""})
        row[_STUDY_SERIES] = {"vr": "IS", "Value": [len(series)]}
        row[_STUDY_INSTANCES] = {"vr": "IS", "Value": [instances]}
        if not text(row, _MODALITIES) and modalities:
            row[_MODALITIES] = {"vr": "CS", "Value": modalities}

    def _count_instances(self, study_uid: str, series: list[dict[str, Any]]) -> int:
        if sum(not _is_counted(one) for one in series) > self._left:
            # One search of the whole study, in pages, where one of each series would be too many.
            return sum(1 for _ in all_rows(lambda offset: self._instances(study_uid, None, offset)))
        for one in series:
            self.complete_series(study_uid, one)
        return sum(int(text(one, _SERIES_INSTANCES)) for one in series)

    def complete_series(self, study_uid: str, row: dict[str, Any]) -> None:
        """Add the number of instances to a row of a series."""
        if not _is_counted(row):
            count = sum(1 for _ in all_rows(lambda offset: self._instances(study_uid, text(row, _SERIES_UID), offset)))
            row[_SERIES_INSTANCES] = {"vr": "IS", "Value": [count]}

    def _series(self, study_uid: str, offset: int) -> "SearchResult":
        self._use_one()
        fields = ("NumberOfSeriesRelatedInstances",)
        return self._pacs.search_for_series(study_uid, limit=_PAGE, offset=offset, includefields=fields)

    def _instances(self, study_uid: str, series_uid: str | None, offset: int) -> "SearchResult":
        self._use_one()
        return self._pacs.search_for_instances(study_uid, series_uid, limit=_PAGE, offset=offset)


def _is_counted(series: dict[str, Any]) -> bool:
    return text(series, _SERIES_INSTANCES).isdecimal()


def complete_studies(pacs: "DicomwebClient", rows: Sequence[dict[str, Any]]) -> None:
    """Add the counts and modalities that are missing in a list of studies, as far as the time allows."""
    _complete(pacs, rows, lambda counter, row: counter.complete_study(row))


def complete_series(pacs: "DicomwebClient", study_uid: str, rows: Sequence[dict[str, Any]]) -> None:
    """Add the counts that are missing in a list of series, as far as the time allows."""
    _complete(pacs, rows, lambda counter, row: counter.complete_series(study_uid, row))


def _complete(
    pacs: "DicomwebClient", rows: Sequence[dict[str, Any]], complete: Callable[[_Counter, dict[str, Any]], None]
) -> None:
    counter = _Counter(pacs)
    try:
        with pacs.shared_deadline(_SHARE):
            for row in rows:
                complete(counter, row)
    except _SearchesUsedUp:
        logger.info("list without some counts", extra={"rows": len(rows)})
    except DicomwebError as error:
        logger.warning("list without counts", extra=log.describe(error))
