"""``GET …/accesses`` and ``GET /audit``: the records of the audit, newest first, page by page."""

import datetime
import heapq
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.audit.fhir import bundle
from dicom_service.audit.store import BY_DAY, BY_PATIENT, BY_STUDY, BY_VIEWER, AuditReader
from dicom_service.audit.view import view
from dicom_service.edge import answer, base_url
from dicom_service.query import Query

# Without a patient or a viewer, each day is a search of its own.
MOST_DAYS = 31
_PAGE = ("from", "to", "limit", "cursor", "format")
FHIR = "application/fhir+json"
# Of the others who saw an exam, its recipient learns neither from where nor by whose keyed hash.
_NOT_FOR_RECIPIENTS = ("address", "patient")
_CURSOR = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)~([0-9A-Za-z.-]{1,80})")

Found = Iterator[dict[str, Any]]


class Page:
    """The part of the records that a request asks for."""

    def __init__(self, query: Query) -> None:
        self.limit = query.limit()
        self.start, self.end = (_iso(day) for day in query.date_range("from", "to"))
        self.fhir = query.choice("format", ("json", "fhir"), default="json") == "fhir"
        cursor = query.text("cursor", longest=120)
        self._cursor = _CURSOR.fullmatch(cursor) if cursor else None
        if cursor and self._cursor is None:
            query.fail("cursor", "not one that this service gave out")

    @property
    def first(self) -> str:
        """The lower bound of ``at``."""
        return self.start or "0"

    @property
    def last(self) -> str:
        """The upper bound of ``at``: the end of a day, or where the page before ended."""
        end = f"{self.end}T9" if self.end else "9"
        return min(end, self._cursor[1]) if self._cursor else end

    def cut(self, found: Found) -> tuple[list[dict[str, Any]], str | None]:
        """Return the records of this page and the cursor of the next, or None."""
        after = (self._cursor[1], self._cursor[2]) if self._cursor else None
        left = (row for row in found if after is None or (row["at"], row["id"]) < after)
        rows = list(islice(_in_order(left), self.limit + 1))
        more = len(rows) > self.limit
        rows = rows[: self.limit]
        return rows, f"{rows[-1]['at']}~{rows[-1]['id']}" if more else None


def accesses_of_study(app: APIGatewayRestResolver, reader: AuditReader, study_uid: str) -> Response[Any]:
    """Return who saw, fetched or shared an exam; an empty list for one that nobody has.

    The recipient of a shared exam is not shown network addresses and hashes.
    """
    query = Query(app, *_PAGE)
    page = Page(query)
    query.check()
    found = reader.find(BY_STUDY, study_uid, first=page.first, last=page.last)
    if (app.current_event.raw_event.get("requestContext", {}).get("authorizer") or {}).get("role") == "exam":
        found = ({name: row[name] for name in row if name not in _NOT_FOR_RECIPIENTS} for row in found)
    return _respond(app, page, found)


def audit(app: APIGatewayRestResolver, reader: AuditReader, hashes: Callable[[str], list[str]]) -> Response[Any]:
    """Return the records of a patient, of a viewer, or of some days.

    Parameters
    ----------
    hashes
        Returns what the records of a PatientID are found by.
    """
    query = Query(app, "patientID", "who", *_PAGE)
    patient_id, who = query.exact("patientID"), query.text("who", longest=324)
    page = Page(query)
    days = _days(query, page) if patient_id is None and who is None else []
    query.check()
    find = partial(reader.find, first=page.first, last=page.last)
    if patient_id is not None:
        parts = [find(BY_PATIENT, hashed) for hashed in hashes(patient_id)]
        found: Found = heapq.merge(*parts, key=lambda row: row["at"], reverse=True)
        if who is not None:
            found = (row for row in found if row["who"] == who)
    elif who is not None:
        found = find(BY_VIEWER, who)
    else:
        found = chain.from_iterable(find(BY_DAY, day) for day in days)
    return _respond(app, page, found)


def _respond(app: APIGatewayRestResolver, page: Page, found: Found) -> Response[Any]:
    rows, cursor = page.cut(found)
    links = {"next": _next_url(app, cursor)} if cursor else {}
    headers = {"Link": f'<{links["next"]}>; rel="next"'} if cursor else {}
    if page.fhir:
        return answer(bundle(rows, base_url(app), links), headers=headers, content_type=FHIR)
    return answer([view(row) for row in rows], headers=headers)


def _next_url(app: APIGatewayRestResolver, cursor: str) -> str:
    event = app.current_event.raw_event
    given = event.get("queryStringParameters") or {}
    kept = {name: value for name, value in given.items() if name.lower() != "cursor"}
    return f"{base_url(app)}{event['path']}?{urlencode({**kept, 'cursor': cursor})}"


def _in_order(rows: Found) -> Found:
    """Yield records of one instant in the order of their ids, which an index does not promise."""
    group: list[dict[str, Any]] = []
    for row in rows:
        if group and group[0]["at"] != row["at"]:
            yield from sorted(group, key=lambda one: str(one["id"]), reverse=True)
            group = []
        group.append(row)
    yield from sorted(group, key=lambda one: str(one["id"]), reverse=True)


def _days(query: Query, page: Page) -> list[str]:
    """Return the days to search, newest first; today where none is given."""
    today = datetime.datetime.now(datetime.UTC).date()
    end = datetime.date.fromisoformat(page.end) if page.end else today
    start = datetime.date.fromisoformat(page.start) if page.start else end
    count = (end - start).days + 1
    if count > MOST_DAYS:
        query.fail("from", f"more than {MOST_DAYS} days; name a patientID or who for a longer time")
        return []
    days = [(end - datetime.timedelta(days=number)).isoformat() for number in range(max(count, 1))]
    return [day for day in days if day <= page.last]


def _iso(day: str | None) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if day else ""
