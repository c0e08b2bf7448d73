"""Listing: what the service adds to the PACS's own search."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.files import File, template
from benchmarks.servers import Servers, WorkNotDone, api_event, function, running
from benchmarks.table import Row, own_figure, pairs, seconds

AIM = 1.15
STUDIES = 500
ROUNDS = 9


def measure() -> Iterator[Row]:
    tiny = template(16)
    files: list[File] = []
    with running() as servers:
        for _ in range(STUDIES // 50):
            files += [file for _ in range(50) for file in tiny.exam()]
            servers.store(*(file.content for file in files[-50:]))
        yield from _lists(servers, {file.study_uid for file in files})


def _lists(servers: Servers, studies: set[str]) -> Iterator[Row]:
    listing = function("list_exams")
    event = api_event("GET", "/exams/studies", query={"limit": str(STUDIES)})

    answers: list[Any] = []

    def ours() -> float:
        return seconds(lambda: answers.append(listing.lambda_handler(event, None)))

    def theirs(query: str) -> float:
        return seconds(lambda: answers.append(_search(servers, query)))

    # The service asks for some attributes more than a PACS returns unasked.
    fields = "&".join(f"includefield={field}" for field in listing.search.STUDY_FIELDS)
    for asked, query in (("same attributes", f"limit={STUDIES}&{fields}"), ("its defaults", f"limit={STUDIES}")):
        compared = pairs(ours, partial(theirs, query), rounds=ROUNDS, timed=own_figure)
        _check(answers, studies)
        answers.clear()
        yield compared.row(f"GET /exams/studies, {STUDIES} exams", f"requests → QIDO-RS, {asked}", aim=AIM)


def _search(servers: Servers, query: str) -> Any:
    headers = {"Accept": "application/dicom+json", "Accept-Encoding": "identity"}
    response = servers.http.get(f"{servers.pacs.url}/studies?{query}", headers=headers, timeout=60)
    return {"statusCode": response.status_code, "rows": response.json()}


def _check(answers: list[Any], studies: set[str]) -> None:
    """Compare each answer, theirs and ours, with what the PACS was given: an empty list would be the fastest."""
    for answer in answers:
        rows = answer["rows"] if "rows" in answer else json.loads(answer["body"])
        listed = [row["0020000D"]["Value"][0] for row in rows] if answer["statusCode"] == 200 else []
        if len(listed) != len(studies) or set(listed) != studies:
            raise WorkNotDone(f"answered {answer['statusCode']} with {len(listed)} of {len(studies)} studies")
