"""Searching a PACS: QIDO-RS (PS3.18 section 10.6)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from dicomweb.dataset import Dataset, SearchResult, matches, tag_of
from dicomweb.errors import NotFound, NotSupported, PacsFault, RequestRejected
from dicomweb.quirks import Quirks
from dicomweb.transport import DICOM_JSON, Transport
from dicomweb.uid import check_uid

_SAFE = "*,"
_ENCODED = re.compile(r"[^A-Za-z0-9._~*,-]")
_MORE_ROWS = re.compile(r"299\b.*?\b(?:there are|more)\b.*?\b(?:results|matches)\b", re.IGNORECASE | re.DOTALL)
_NO_MORE_ROWS = re.compile(r"\bthere are 0 additional", re.IGNORECASE)
_SMALLEST_PAGE = 100


@dataclass(frozen=True)
class Query:
    """One search, before it is put into a URL.

    Parameters
    ----------
    filters
        Search values by DICOM keyword or tag.
    limit
        Most rows to return; None for as many as the PACS returns.
    offset
        Rows to leave out from the beginning.
    fuzzy
        Ask for fuzzy matching of person names.
    includefields
        Further attributes to return.
    """

    filters: Mapping[str, str]
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False
    includefields: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check the paging.

        Raises
        ------
        ValueError
            The limit is below one or the offset below zero.
        """
        if (self.limit is not None and self.limit < 1) or self.offset < 0:
            raise ValueError("limit must be at least 1 and offset at least 0")


@dataclass(frozen=True)
class _Page:
    rows: list[Dataset]
    announced_more: bool


class Qido:
    """The search service of one PACS.

    Parameters
    ----------
    transport
        Sends the requests.
    url
        Base URL of the service.
    quirks
        What is different about this PACS.
    """

    def __init__(self, transport: Transport, url: str, quirks: Quirks) -> None:
        self._transport = transport
        self._url = url.rstrip("/")
        self._quirks = quirks

    def studies(self, query: Query) -> SearchResult:
        """Search for studies.

        Raises
        ------
        NotSupported
            There is no search service at this address, or it cannot search by one of these attributes.
        DicomwebError
            As :meth:`Transport.get_json`.
        """
        try:
            return self._search("/studies", query)
        except NotFound as error:
            raise NotSupported("there is no QIDO-RS service at this address") from error

    def series(self, study_uid: str, query: Query) -> SearchResult:
        """Search for the series of a study; an unknown study has none."""
        return self._search_below(f"/studies/{check_uid(study_uid)}/series", query)

    def instances(self, study_uid: str | None, series_uid: str | None, query: Query) -> SearchResult:
        """Search for the instances of a study or series; an unknown one has none. Without a study, of all studies.

        Raises
        ------
        NotSupported
            The PACS does not search all studies for instances.
        DicomwebError
            As :meth:`Transport.get_json`.
        """
        if study_uid is None:
            try:
                return self._search("/instances", query)
            except NotFound as error:
                raise NotSupported("this PACS does not search all studies for instances") from error
        series = "" if series_uid is None else f"/series/{check_uid(series_uid)}"
        return self._search_below(f"/studies/{check_uid(study_uid)}{series}/instances", query)

    def instances_by_uid(self, study_uid: str, series_uid: str, uids: Sequence[str]) -> SearchResult:
        """Search a series for these instances, by a list of their UIDs (PS3.4 C.2.2.2.2)."""
        return self.instances(study_uid, series_uid, Query({"SOPInstanceUID": ",".join(uids)}))

    def ping(self) -> None:
        """Search for one study.

        Raises
        ------
        NotSupported
            There is no search service at this address.
        DicomwebError
            As :meth:`Transport.get_json`.
        """
        try:
            self._page("/studies", Query({}), 1, 0)
        except NotFound as error:
            raise NotSupported("there is no QIDO-RS service at this address") from error

    def _search_below(self, path: str, query: Query) -> SearchResult:
        try:
            return self._search(path, query)
        except NotFound:
            return SearchResult([], more=False)

    def _search(self, path: str, query: Query) -> SearchResult:
        """Fetch pages until there are as many rows as asked for, and one more to know whether there are more."""
        exact = self._exact(query.filters)
        # Rows that are left out here must not count towards the offset, so it cannot be left to the PACS.
        skip = query.offset if exact else 0
        position = 0 if exact else query.offset
        wanted = None if query.limit is None else query.limit + 1 + skip
        kept: list[Dataset] = []
        with self._transport.shared_deadline():
            while True:
                size = self._page_size(wanted, len(kept), bool(exact))
                page = self._page(path, query, size, position)
                position += len(page.rows)
                kept += (row for row in page.rows if all(matches(row, tag, text) for tag, text in exact.items()))
                filled = wanted is not None and len(kept) >= wanted
                if (
                    filled
                    or not page.rows
                    or not (page.announced_more or (size is not None and len(page.rows) >= size))
                ):
                    break
                if wanted is None and size is None:
                    break
        rows = kept[skip:] if query.limit is None else kept[skip : skip + query.limit]
        left_out = query.limit is not None and len(kept) > skip + query.limit
        return SearchResult(rows, more=left_out or (bool(page.rows) and page.announced_more))

    def _page_size(self, wanted: int | None, kept: int, filtering: bool) -> int | None:
        if wanted is None:
            return self._quirks.max_page
        size = wanted - kept
        if filtering:
            size = max(size, _SMALLEST_PAGE)
        return size if self._quirks.max_page is None else min(size, self._quirks.max_page)

    def _page(self, path: str, query: Query, size: int | None, position: int) -> _Page:
        url = f"{self._url}{path}{self._query_string(query, size, position)}"
        response = self._transport.request("GET", url, headers={"Accept": DICOM_JSON})
        response.raise_for_status()
        rows = response.json() if response.content.strip() else []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise PacsFault("the PACS answered a search with something else than a list", status=response.status)
        warning = response.headers.get("Warning", "")
        return _Page(rows, bool(_MORE_ROWS.search(warning)) and not _NO_MORE_ROWS.search(warning))

    def _query_string(self, query: Query, size: int | None, position: int) -> str:
        pairs = [(name, self._encoded(text)) for name, text in query.filters.items()]
        pairs += [("includefield", quote(field, safe="")) for field in query.includefields]
        if query.fuzzy and not self._quirks.no_fuzzy:
            pairs.append(("fuzzymatching", "true"))
        if size is not None:
            pairs.append(("limit", str(size)))
        if position:
            pairs.append(("offset", str(position)))
        return "?" + "&".join(f"{quote(name, safe='')}={text}" for name, text in pairs) if pairs else ""

    def _encoded(self, text: str) -> str:
        if not self._quirks.raw_query:
            return quote(text, safe=_SAFE)
        return _ENCODED.sub(_wildcard, text.replace("\\", ","))

    def _exact(self, filters: Mapping[str, str]) -> dict[str, str]:
        """Return, by tag, the filters that the PACS receives only in a looser form.

        Raises
        ------
        RequestRejected
            A filter cannot be compared here, since its attribute is not known.
        """
        if not self._quirks.raw_query:
            return {}
        loose = {name: text for name, text in filters.items() if _ENCODED.search(text.replace("\\", ","))}
        exact = {}
        for name, text in loose.items():
            tag = tag_of(name)
            if tag is None:
                raise RequestRejected("this PACS cannot search by that attribute and value", status=400)
            exact[tag] = text
        return exact


def _wildcard(match: re.Match[str]) -> str:
    """Match one character; to the PACS, ``?`` is one byte, and beyond ASCII a character has several."""
    return "?" if match[0].isascii() and match[0] != "?" else "*"
