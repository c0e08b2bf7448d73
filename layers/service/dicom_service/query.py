"""Query parameters, read by case-insensitive name; all errors are reported together."""

import re
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from dicom_service.fields import Fields

DEFAULT_LIMIT, MAX_LIMIT = 100, 1000


class Query(Fields):
    """The query parameters of a request, names case-insensitive (api.md, "Conventions").

    Parameters
    ----------
    app
        The resolver that holds the request.
    known
        Every parameter of the route. Others are rejected: a mistyped filter must not widen a search to all patients.
    """

    code = "INVALID_PARAMETER"
    summary = "Bad query parameters"

    def __init__(self, app: APIGatewayRestResolver, *known: str) -> None:
        super().__init__()
        names = {name.lower(): name for name in known}
        self._values: dict[str, str] = {}
        multi = app.current_event.raw_event.get("multiValueQueryStringParameters") or {}
        single = app.current_event.raw_event.get("queryStringParameters") or {}
        for key, values in {**{k: [v] for k, v in single.items()}, **multi}.items():
            name = names.get(key.lower())
            if name is None:
                self.errors.append({"field": _shown(key), "problem": "unknown parameter"})
            elif len(values) > 1 or name in self._values:
                self.errors.append({"field": name, "problem": "given more than once"})
            elif not (values[0] or "").strip():
                # A slip such as `patientID=` must not list everybody.
                self.errors.append({"field": name, "problem": "empty"})
            else:
                self._values[name] = values[0]

    def text(self, name: str, *, default: Any = None, required: bool = False, longest: int = 324) -> Any:
        """Read a text; `longest` is in characters."""
        value = self._values.get(name, "").strip()
        if not value:
            return self.fail(name, "required") if required else default
        if len(value) > longest:
            return self.fail(name, f"longer than {longest} characters")
        # The gateway puts U+FFFD where the percent-encoding is not UTF-8.
        if not value.isprintable() or "\ufffd" in value:
            return self.fail(name, "has control characters, or is not UTF-8")
        return value

    def exact(self, name: str, *, longest: int = 64) -> Any:
        """Read a value for exact matching: no wildcards, no list of values (PS3.4 C.2.2.2)."""
        value = self.text(name, longest=longest)
        if value is None or not set(value) & set("*?\\"):
            return value
        return self.fail(name, "contains *, ? or a backslash; it is matched exactly")

    def name_pattern(self, name: str) -> Any:
        """Read a person name that may have wildcards (PS3.4 C.2.2.2.4), but not wildcards alone."""
        value = self.text(name)
        if value is None or set(value) - set("*?^= "):
            return value
        return self.fail(name, "consists of wildcards alone")

    def integer(self, name: str, *, default: int, minimum: int, maximum: int) -> int:
        """Read an integer between `minimum` and `maximum`."""
        value = self.text(name)
        if value is None:
            return default
        if re.fullmatch(r"-?[0-9]{1,9}", value) and minimum <= int(value) <= maximum:
            return int(value)
        self.fail(name, f"not an integer from {minimum} to {maximum}")
        return default

    def limit(self) -> int:
        """Read ``limit``, the most rows of a list."""
        return self.integer("limit", default=DEFAULT_LIMIT, minimum=1, maximum=MAX_LIMIT)

    def is_simple(self) -> bool:
        """Read ``format`` of datasets; return whether it is ``simple``: values by keyword, not by tag."""
        return bool(self.choice("format", ("dicom", "simple"), default="dicom") == "simple")

    def choice(self, name: str, choices: Mapping[str, str] | tuple[str, ...], *, default: Any = None) -> Any:
        """Read one of `choices`, case-insensitive; returned in the spelling of `choices`."""
        value = self.text(name)
        if value is None:
            return default
        spelled = {choice.lower(): choice for choice in choices}
        if value.lower() in spelled:
            return spelled[value.lower()]
        return self.fail(name, "not one of " + ", ".join(choices))

    def date_range(self, first: str, last: str) -> tuple[Any, Any]:
        """Read two days; the first must not be after the last."""
        start, end = self.date(first), self.date(last)
        if start and end and start > end:
            self.fail(last, f"before {first}")
        return start, end


def _shown(name: str) -> str:
    """Return the name of a parameter in a form that is safe to answer with."""
    return name[:64] if name.isprintable() else "(not printable)"
