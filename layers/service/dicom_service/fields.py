"""Fields of a request, read from its query (`dicom_service.query`) or its JSON body; errors are reported together."""

from collections.abc import Mapping
from typing import Any

from dicom_service.day import read_day
from dicom_service.errors import BadRequest
from dicomweb.uid import is_uid


class Fields:
    """Named values of a request. Readers collect errors; `check` then raises one error that lists them all."""

    code = "INVALID_BODY"
    summary = "Bad fields"

    def __init__(self) -> None:
        self.errors: list[dict[str, str]] = []

    def text(self, name: str, *, required: bool = False) -> Any:
        """Read a text; None if it is absent or invalid."""
        raise NotImplementedError

    def uid(self, name: str, *, required: bool = False) -> Any:
        """Read a UID (PS3.5 §9.1)."""
        value = self.text(name, required=required)
        return value if value is None or is_uid(value) else self.fail(name, "not a UID")

    def date(self, name: str) -> Any:
        """Read a day, ``YYYYMMDD`` or ``YYYY-MM-DD``; returned as DICOM DA (PS3.5 §6.2)."""
        value = self.text(name)
        return value and (read_day(value) or self.fail(name, "not a date, YYYYMMDD or YYYY-MM-DD"))

    def fail(self, name: str, problem: str) -> Any:
        """Record the error of a field and return None, the value of an invalid field."""
        self.errors.append({"field": name, "problem": problem})
        return None

    def check(self) -> None:
        """Raise one error that lists all errors, if there are any.

        Raises
        ------
        BadRequest
            With member ``errors``: one entry for each error.
        """
        if self.errors:
            listed = "; ".join(f"{error['field']}: {error['problem']}" for error in self.errors)
            raise BadRequest(f"{self.summary}: {listed}.", code=self.code, errors=self.errors)


class Body(Fields):
    """The fields of a JSON body; null counts as absent.

    Parameters
    ----------
    values
        The body.
    known
        Every field of the route; others are errors.
    """

    def __init__(self, values: Mapping[str, Any], *known: str) -> None:
        super().__init__()
        self._values = {name: value for name, value in values.items() if value is not None}
        for name in values:
            if name not in known:
                self.fail(name[:64], "unknown field")

    def text(self, name: str, *, required: bool = False, longest: int = 64) -> Any:
        """Read a text of printable characters; None if it is absent or blank."""
        value = self._values.get(name, "")
        if not isinstance(value, str) or not value.isprintable() or len(value) > longest:
            return self.fail(name, f"not a text of at most {longest} printable characters")
        return value.strip() or (self.fail(name, "required") if required else None)

    def choice(self, name: str, choices: tuple[str, ...]) -> Any:
        """Read one of `choices`; the first of them if it is absent."""
        value = self.text(name) if name in self._values else choices[0]
        return value if value in choices else self.fail(name, "not one of " + ", ".join(choices))

    def integer(self, name: str, *, default: int, minimum: int, maximum: int) -> Any:
        """Read an integer between `minimum` and `maximum`."""
        value = self._values.get(name, default)
        if type(value) is int and minimum <= value <= maximum:
            return value
        return self.fail(name, f"not an integer from {minimum} to {maximum}")

    def flag(self, name: str, *, default: bool = False) -> Any:
        """Read true or false."""
        value = self._values.get(name, default)
        return value if isinstance(value, bool) else self.fail(name, "not true or false")
