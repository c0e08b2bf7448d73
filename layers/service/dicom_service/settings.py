"""Settings: each function's part of the environment as one frozen dataclass, read once and passed in.

A field names its variable, the cast of its text, and its default::

    @dataclass(frozen=True)
    class UidSettings:
        table: str = setting("UIDS_TABLE")
        root: str | None = setting("DICOM_UID_ROOT", default=None)

    settings = load(UidSettings)
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from dicom_service.errors import SettingsError

T = TypeVar("T")
MIB = 1024 * 1024


def setting(name: str, *, cast: Callable[[str], Any] = str, default: Any = MISSING) -> Any:
    """Declare a dataclass field that an environment variable sets.

    Parameters
    ----------
    name
        The environment variable.
    cast
        Converts its text to the value; raises ValueError for invalid text.
    default
        The value when the variable is absent or empty; without a default, the variable is required.
    """
    metadata = {"variable": name, "cast": cast}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def load(cls: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Read one settings dataclass from the environment.

    Raises
    ------
    SettingsError
        A required variable is absent or a value is invalid; the message names the variable, never the value.
    """
    source = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    for item in fields(cls):  # type: ignore[arg-type]
        variable = item.metadata["variable"]
        text = source.get(variable, "").strip()
        if not text:
            if item.default is MISSING:
                raise SettingsError(f"The setting {variable} is missing.")
            continue
        try:
            values[item.name] = item.metadata["cast"](text)
        except ValueError as error:
            raise SettingsError(f"The setting {variable} has an invalid value.") from error
    return cls(**values)


def flag(text: str) -> bool:
    """Cast ``true``/``false`` (also ``1``/``0``, ``yes``/``no``, ``on``/``off``)."""
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if text.lower() not in known:
        raise ValueError("not a truth value")
    return known[text.lower()]


def words(text: str) -> tuple[str, ...]:
    """Cast a comma- or space-separated list."""
    return tuple(text.replace(",", " ").split())


@dataclass(frozen=True)
class PacsSettings:
    """How to reach the PACS (architecture.md, "PACS side")."""

    url: str = setting("PACS_URL")
    auth: str = setting("PACS_AUTH", default="none")
    secret_arn: str | None = setting("PACS_SECRET_ARN", default=None)
    quirks: str = setting("PACS_QUIRKS", default="")
    connect_timeout: float = setting("PACS_CONNECT_TIMEOUT", cast=float, default=3.05)
    read_timeout: float = setting("PACS_READ_TIMEOUT", cast=float, default=15.0)
    total_timeout: float = setting("PACS_TOTAL_TIMEOUT", cast=float, default=24.0)
    qido_url: str | None = setting("PACS_QIDO_URL", default=None)
    wado_url: str | None = setting("PACS_WADO_URL", default=None)
    worklist_url: str | None = setting("WORKLIST_URL", default=None)
    stow_url: str | None = setting("PACS_STOW_URL", default=None)
    local: bool = setting("LOCAL_MODE", cast=flag, default=False)
    sigv4_service: str = setting("PACS_SIGV4_SERVICE", default="medical-imaging")


@dataclass(frozen=True)
class EdgeSettings:
    """The public URL of the API, for deployments whose requests do not carry it."""

    public_url: str | None = setting("PUBLIC_URL", default=None)
