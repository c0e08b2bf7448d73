"""Reports whether the service's dependencies are reachable: the PACS and two of the tables."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from dicom_service import aws, log
from dicom_service.errors import ServiceError
from dicom_service.pacs import connect
from dicom_service.pacs_errors import pacs_errors
from dicom_service.settings import PacsSettings, setting

logger = log.get_logger()

# Seconds; a PACS that takes longer counts as down.
PATIENCE = 5.0
# Seconds. The route is open to all: without a cache anybody could load the PACS through it.
CACHED_FOR = 5.0


@dataclass(frozen=True)
class HealthSettings:
    """The tables to check."""

    uids_table: str = setting("UIDS_TABLE")
    exams_table: str = setting("EXAMS_TABLE")


class Health:
    """Keeps the report for a few seconds in each function instance.

    Parameters
    ----------
    check
        Makes a report.
    clock
        Monotonic, in seconds.
    """

    def __init__(self, check: Callable[[], dict[str, Any]], clock: Callable[[], float] = time.monotonic) -> None:
        self._check = check
        self._clock = clock
        self._report: dict[str, Any] = {}
        self._expires = float("-inf")

    def report(self) -> dict[str, Any]:
        """Return the last report while it is fresh, good or bad, else a new one."""
        if self._clock() >= self._expires:
            self._report = self._check()
            # Counted from the end of the check, which may take as long as a report is kept.
            self._expires = self._clock() + CACHED_FOR
        return self._report


def check_all(settings: HealthSettings, pacs: PacsSettings) -> dict[str, Any]:
    """Check all dependencies at the same time.

    Returns
    -------
    dict
        ``{"status": "up" | "down", "checks": {name: {"status": …, "code": …}}}``: codes alone, since the route is open
        to all.
    """
    checks: dict[str, Callable[[], None]] = {
        "pacs": lambda: _check_pacs(pacs),
        "uids": lambda: _check_table(settings.uids_table, {"prefix": "health"}),
        "exams": lambda: _check_table(settings.exams_table, {"StudyInstanceUID": "health", "SOPInstanceUID": "health"}),
    }
    with ThreadPoolExecutor(len(checks)) as pool:
        results = dict(zip(checks, pool.map(_outcome, checks.values()), strict=True))
    all_up = all(result["status"] == "up" for result in results.values())
    return {"status": "up" if all_up else "down", "checks": results}


def _outcome(check: Callable[[], None]) -> dict[str, str]:
    try:
        check()
    except aws.AwsError as error:
        logger.error("table not readable", extra=log.describe(error))
        return {"status": "down", "code": "TABLE_UNAVAILABLE"}
    except ServiceError as error:
        return {"status": "down", "code": error.code}
    return {"status": "up"}


def _check_pacs(settings: PacsSettings) -> None:
    quick = replace(
        settings,
        connect_timeout=min(settings.connect_timeout, PATIENCE),
        read_timeout=min(settings.read_timeout, PATIENCE),
        total_timeout=min(settings.total_timeout, PATIENCE),
    )
    with pacs_errors():
        connect(quick).ping()


@aws.errors("The table cannot be read.")
def _check_table(table: str, key: dict[str, str]) -> None:
    aws.get(table, key, consistent=False)
