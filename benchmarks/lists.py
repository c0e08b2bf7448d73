"""Listing: what the service adds to the PACS's own search."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.exams import answered
from benchmarks.files import template
from benchmarks.servers import Servers, api_event, function, running
from benchmarks.table import Row, own_figure, pairs, seconds

AIM = 1.15
STUDIES = 500
ROUNDS = 9


def measure() -> Iterator[Row]:
    tiny = template(16)
    with running() as servers:
        for _ in range(STUDIES // 50):
            servers.store(*(tiny.study() for _ in range(50)))
        yield from _lists(servers)


def _lists(servers: Servers) -> Iterator[Row]:
    listing = function("list_exams")
    event = api_event("GET", "/exams/studies", query={"limit": str(STUDIES)})

    def ours() -> float:
        return answered(partial(listing.lambda_handler, event, None))

    def theirs(query: str) -> float:
        return seconds(partial(_search, servers, query))

    # The service asks for some attributes more than a PACS returns unasked.
    fields = "&".join(f"includefield={field}" for field in listing.search.STUDY_FIELDS)
    for asked, query in (("same attributes", f"limit={STUDIES}&{fields}"), ("its defaults", f"limit={STUDIES}")):
        compared = pairs(ours, partial(theirs, query), rounds=ROUNDS, timed=own_figure)
        yield compared.row(f"GET /exams/studies, {STUDIES} exams", f"requests → QIDO-RS, {asked}", aim=AIM)


def _search(servers: Servers, query: str) -> Any:
    headers = {"Accept": "application/dicom+json", "Accept-Encoding": "identity"}
    response = servers.http.get(f"{servers.pacs.url}/studies?{query}", headers=headers, timeout=60)
    return response.json()
