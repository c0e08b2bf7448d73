"""Schemathesis's hooks: what JSON Schema cannot say, and real UIDs, so that more than 404 is answered.

The contract says in words that a range is not reversed, that a list of codes names a study or a patient, that a key is
random, a cursor one that was given, and that a part's number comes once. Valid requests are changed to keep to it; an
invalid one stays invalid.
"""

import os
import re
import zlib
from collections.abc import MutableMapping
from typing import Any

import schemathesis

STORED = "CONTRACT_STORED"
"""Environment variable: a StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID that are stored."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_KEY = re.compile(r"[!-~]{22,128}")
_RANDOM = "0b5c2f9e-3d6b-4f0a-9a57-5f3b1f6d2a11"
_STORED = dict(zip(("studyUID", "seriesUID", "instanceUID"), os.environ.get(STORED, "").split(), strict=False))


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    for place in (case.path_parameters, case.query):
        if isinstance(place, MutableMapping):
            _use_stored(place)
    _keep_relations(case)


def _use_stored(values: MutableMapping[str, Any]) -> None:
    """Take the stored UID in place of half of the valid ones."""
    for name, stored in _STORED.items():
        value = values.get(name)
        if isinstance(value, str) and len(value) <= 64 and _UID.fullmatch(value) and zlib.crc32(value.encode()) % 2:
            values[name] = stored


def _keep_relations(case: Any) -> None:
    query, headers, body = case.query or {}, case.headers or {}, case.body
    first, last = query.get("from"), query.get("to")
    if isinstance(first, str) and isinstance(last, str) and first.replace("-", "") > last.replace("-", ""):
        query["from"], query["to"] = last, first
    if case.path == "/otps" and case.method in ("GET", "DELETE"):
        if "studyUID" in query and "patientID" in query:
            del query["patientID" if _UID.fullmatch(str(query["studyUID"])) else "studyUID"]
        elif not {"studyUID", "patientID"} & query.keys():
            case.query = {**query, "studyUID": "1.2.3"}
    if case.path == "/workitems" and str(query.get("cursor", "")).startswith(("p", "k")):
        query["cursor"] = "20260131081530#1.2.3"
    if case.path == "/events" and str(query.get("after", "")).startswith("djEu"):
        query["after"] = "djEuMA"
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and _KEY.fullmatch(key) and len(set(key.lower())) < 6:
        headers["Idempotency-Key"] = _RANDOM
    if case.path.endswith("/complete") and isinstance(body, dict) and isinstance(body.get("parts"), list):
        _number(body["parts"])


def _number(parts: list[Any]) -> None:
    seen: set[int] = set()
    for part in parts:
        number = part.get("partNumber") if isinstance(part, dict) else None
        if type(number) is int and 1 <= number <= 10_000:
            part["partNumber"] = next(free for free in range(number, 20_000) if free not in seen)
            seen.add(part["partNumber"])
