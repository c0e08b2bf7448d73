"""The query of a search (QIDO-RS, PS3.18 §8.3.4, §10.6.1): matching keys, fields, page."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from dicom_service.errors import BadRequest
from dicomweb.dataset import TAGS, tag_of
from dicomweb.uid import is_uid

MAX_LIMIT, MAX_OFFSET = 5000, 1_000_000
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_KEYWORD = re.compile(r"[A-Z][A-Za-z0-9]{1,63}")
_FLAGS = ("fuzzymatching", "emptyvaluematching", "multiplevaluematching")
_UIDS = frozenset({"0020000D", "0020000E", "00080018", "00080016"})
_STUDY_UID = "0020000D"
_LONGEST = 1024
_MOST_FIELDS = 200


@dataclass(frozen=True)
class SearchRequest:
    """What a caller searches for.

    Parameters
    ----------
    filters
        Values by attribute, as the caller spelled it: a keyword or a tag, or several joined by dots for a sequence.
    includefields
        Further attributes to return.
    limit
        Most rows to return; None for all.
    offset
        Rows to skip.
    fuzzy
        Whether to match person names loosely.
    """

    filters: Mapping[str, str] = field(default_factory=dict)
    includefields: tuple[str, ...] = ()
    limit: int | None = None
    offset: int = 0
    fuzzy: bool = False


class _Parameters:
    """Collects the parameters of one query, and all that is wrong with them."""

    def __init__(self) -> None:
        self.filters: dict[str, str] = {}
        self.fields: list[str] = []
        self.numbers: dict[str, int] = {}
        self.flags: dict[str, bool] = {}
        self.errors: list[dict[str, str]] = []

    def add(self, name: str, values: list[str]) -> None:
        lower = name.lower()
        if lower == "accept":
            return
        if lower == "includefield":
            for value in values:
                self._include(value)
        elif len(values) > 1:
            self._reject(name, "given more than once")
        elif lower in ("limit", "offset"):
            self._number(lower, values[0])
        elif lower in _FLAGS:
            self._flag(lower, values[0])
        else:
            self._match(name, values[0])

    def _include(self, value: str) -> None:
        for name in filter(None, (part.strip() for part in value.split(","))):
            if name != "all" and tag_path(name) is None:
                self._reject("includefield", "not a DICOM attribute")
            elif len(self.fields) >= _MOST_FIELDS:
                self._reject("includefield", f"more than {_MOST_FIELDS}")
                return
            elif name not in self.fields:
                self.fields.append(name)

    def _number(self, name: str, value: str) -> None:
        least, most = (0, MAX_LIMIT) if name == "limit" else (0, MAX_OFFSET)
        if not re.fullmatch("[0-9]{1,9}", value.strip()) or name in self.numbers:
            self._reject(name, f"not one integer from {least} to {most}")
        elif name == "offset" and int(value) > most:
            self._reject(name, f"above {most}")
        else:
            self.numbers[name] = min(int(value), most)

    def _flag(self, name: str, value: str) -> None:
        if value.lower() not in ("true", "false") or name in self.flags:
            self._reject(name, "neither true nor false")
        else:
            self.flags[name] = value.lower() == "true"

    def _match(self, name: str, value: str) -> None:
        tag = tag_path(name)
        if tag is None:
            self._reject(name[:64] if name.isprintable() else "(not printable)", "not a DICOM attribute")
        elif tag in {tag_path(known) for known in self.filters}:
            self._reject(name, "given more than once")
        elif len(value) > _LONGEST or not value.isprintable() or "\ufffd" in value:
            self._reject(name, f"longer than {_LONGEST} characters, not printable, or not UTF-8")
        elif not value.strip():
            self._reject(name, "blank: leave it out, or name it in includefield")
        elif tag in _UIDS and not all(map(is_uid, re.split(r"[,\\]", value))):
            self._reject(name, "not a UID, or a list of them")
        else:
            self.filters[name] = value

    def _reject(self, name: str, problem: str) -> None:
        self.errors.append({"field": name, "problem": problem})


def read_search(app: APIGatewayRestResolver) -> SearchRequest:
    """Read the query of a search.

    Raises
    ------
    BadRequest
        Some of it is no attribute, or no value of it: a mistyped filter must not list everybody. The error names all.
    """
    event = app.current_event.raw_event
    single = event.get("queryStringParameters") or {}
    multiple = event.get("multiValueQueryStringParameters") or {}
    read = _Parameters()
    for name, values in {**{name: [value] for name, value in single.items()}, **multiple}.items():
        read.add(name, [str(value or "") for value in values])
    if read.errors:
        raise BadRequest("The search cannot be read.", code="INVALID_PARAMETER", errors=read.errors)
    limit = read.numbers.get("limit")
    return SearchRequest(
        read.filters,
        tuple(read.fields),
        # Nobody wants zero rows: limit=0 means no limit, as on several servers.
        limit or None,
        read.numbers.get("offset", 0),
        read.flags.get("fuzzymatching", False),
    )


def tag_path(attribute: str) -> str | None:
    """Return the tags of an attribute in a search, joined by dots; None where it is not one of DICOM (PS3.6)."""
    tags = [_tag(part) for part in attribute.split(".")]
    return ".".join(tag for tag in tags if tag) if all(tags) else None


def _tag(attribute: str) -> str | None:
    if _TAG.fullmatch(attribute) or attribute in TAGS:
        return tag_of(attribute)
    if not _KEYWORD.fullmatch(attribute):
        return None
    # Only for attributes that searches seldom name: pydicom takes half a second to import.
    from pydicom.datadict import tag_for_keyword

    found = tag_for_keyword(attribute)
    return f"{found:08X}" if found is not None else None


def names_study(request: SearchRequest, study_uid: str) -> bool:
    """Return whether a search may find a study, by the UIDs that it names."""
    wanted = next((text for name, text in request.filters.items() if tag_path(name) == _STUDY_UID), None)
    return wanted is None or study_uid in re.split(r"[,\\]", wanted)


def without_study(filters: Mapping[str, str]) -> dict[str, str]:
    """Return filters without the StudyInstanceUID, for searches below one study and those that are limited to one."""
    return {name: text for name, text in filters.items() if tag_path(name) != _STUDY_UID}
