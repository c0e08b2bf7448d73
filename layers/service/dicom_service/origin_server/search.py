"""Searches for viewers (QIDO-RS, PS3.18 §10.6): the PACS's rows, limited to what the credential may see."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dicom_service.errors import BadRequest, NotFound
from dicom_service.exams.missing_counts import complete_series, complete_studies
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.exams.search import STUDY_FIELDS
from dicom_service.origin_server.links import with_links
from dicom_service.origin_server.search_request import SearchRequest, names_study, without_study
from dicom_service.origin_server.study_state import NO_STUDY
from dicom_service.pacs import all_rows
from dicom_service.pacs_errors import pacs_errors
from dicom_service.patient import PATIENT_FIELDS
from dicomweb.dataset import SearchResult, text
from dicomweb.errors import RequestRejected

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

DEFAULT_STUDIES = 1000
"""Rows of a search for studies that names no limit."""

_STUDY_UID = "0020000D"


@dataclass(frozen=True)
class Level:
    """What is searched for: studies, or below a study its series, its instances or those of a series."""

    name: str
    study_uid: str | None = None
    series_uid: str | None = None


class Search:
    """Answers searches.

    Parameters
    ----------
    client
        The PACS.
    """

    def __init__(self, client: "DicomwebClient") -> None:
        self._client = client

    def rows(self, level: Level, request: SearchRequest, scope: PatientScope, root: str) -> SearchResult:
        """Return what a search finds, with links to this service.

        Parameters
        ----------
        root
            URL of these services, without a trailing slash.

        Raises
        ------
        BadRequest
            The PACS cannot search by one of the attributes.
        NotFound
            The search is below a study that the caller may not see.
        ExamSuspended
            What is found is not, or not only, the patient's whom the caller's token was issued for.
        PacsError
            The PACS cannot be asked.
        """
        own = scope.study_uid
        if own is not None:
            if level.study_uid not in (None, own):
                raise NotFound(NO_STUDY)
            if not names_study(request, own):
                return SearchResult([], more=False)
            scope.revalidate(self._client)
        found = self._search(level, _with_fields(request, level), own)
        wanted = own or level.study_uid
        rows = [row for row in found.datasets if wanted is None or text(row, _STUDY_UID) in ("", wanted)]
        if own is not None and level.study_uid is None:
            # A PACS that ignores filters must not show others; at the level of studies each row names its own.
            rows = [row for row in rows if text(row, _STUDY_UID) == own]
        scope.compare_rows(rows)
        self._complete(level, rows)
        return SearchResult([with_links(row, root, level.study_uid, level.series_uid) for row in rows], more=found.more)

    def _search(self, level: Level, request: SearchRequest, own: str | None) -> SearchResult:
        try:
            with pacs_errors(NO_STUDY), _as_bad_request():
                if level.study_uid is None:
                    return self._studies(request, own)
                return self._below(level, replace(request, filters=without_study(request.filters)))
        except NotFound:
            return SearchResult([], more=False)

    def _studies(self, request: SearchRequest, own: str | None) -> SearchResult:
        filters = dict(request.filters)
        if own is not None:
            filters = {**without_study(filters), "StudyInstanceUID": own}
        return self._client.search_for_studies(
            filters,
            limit=request.limit or DEFAULT_STUDIES,
            offset=request.offset,
            fuzzy=request.fuzzy,
            includefields=request.includefields,
        )

    def _below(self, level: Level, request: SearchRequest) -> SearchResult:
        def page(offset: int) -> SearchResult:
            if level.name == "series":
                return self._client.search_for_series(
                    str(level.study_uid),
                    request.filters,
                    limit=request.limit,
                    offset=request.offset + offset,
                    includefields=request.includefields,
                )
            return self._client.search_for_instances(
                level.study_uid,
                level.series_uid,
                request.filters,
                limit=request.limit,
                offset=request.offset + offset,
                includefields=request.includefields,
            )

        if request.limit is not None:
            return page(0)
        # Viewers do not page below a study: what a PACS returns in pages is put together.
        return SearchResult(list(all_rows(page)), more=False)

    def _complete(self, level: Level, rows: list[dict[str, Any]]) -> None:
        if level.name == "studies":
            complete_studies(self._client, rows)
        elif level.name == "series":
            complete_series(self._client, str(level.study_uid), rows)


def _with_fields(request: SearchRequest, level: Level) -> SearchRequest:
    """Add what patients are compared and recorded by, and the counts that some PACS return only when asked."""
    wanted: Iterable[str] = PATIENT_FIELDS
    if level.name == "studies":
        wanted = (*wanted, *STUDY_FIELDS)
    elif level.name == "series":
        wanted = (*wanted, "NumberOfSeriesRelatedInstances")
    missing = [name for name in wanted if name not in request.includefields]
    return replace(request, includefields=(*request.includefields, *missing))


@contextmanager
def _as_bad_request() -> Iterator[None]:
    """Turn the PACS's rejection of a search into an error of the caller, who chose the attributes."""
    try:
        yield
    except RequestRejected as error:
        detail = "The PACS cannot search by these attributes and values."
        raise BadRequest(detail, code="INVALID_PARAMETER") from error
