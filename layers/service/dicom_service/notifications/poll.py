"""Polls a PACS that cannot call back: queues a check of each study that is new or has grown."""

import datetime
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicom_service import aws
from dicom_service.exams.completeness_checks import Check, CheckQueue, CheckSettings
from dicom_service.exams.registry import STUDY
from dicom_service.pacs import all_rows
from dicom_service.pacs_errors import pacs_errors
from dicom_service.settings import setting
from dicomweb.dataset import SearchResult, text
from dicomweb.uid import is_uid

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

_PAGE = 100
_STUDY_UID, _STUDY_INSTANCES = "0020000D", "00201208"


@dataclass(frozen=True)
class PollSettings:
    """The table of exams, the queue of checks, the quiet period in seconds, and how many days to look back."""

    table: str = setting("EXAMS_TABLE")
    checks_queue_url: str = setting("EXAM_CHECKS_QUEUE_URL")
    quiet_period: float = setting("QUIET_PERIOD", cast=float, default=60.0)
    days: int = setting("POLL_DAYS", cast=int, default=2)


class Poller:
    """Compares the PACS's recent studies with their last announcements.

    Parameters
    ----------
    settings
        Table, queue, quiet period, days.
    pacs
        Searched for studies.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self, settings: PollSettings, pacs: "DicomwebClient", *, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._pacs = pacs
        self._clock = clock
        self._checks = CheckQueue(CheckSettings(settings.checks_queue_url))

    def poll(self) -> int:
        """Queue a check for each study whose number of instances is not the one announced; return how many.

        The check is due after the quiet period and announces only a study that has not grown meanwhile; one that has
        is found again by the next poll.
        """
        queued = 0
        for seen in self._studies():
            announced = self._announced(list(seen))
            changed = [uid for uid, count in seen.items() if uid not in announced or count != announced[uid]]
            checks = [Check(uid, "poll", instances=seen[uid]) for uid in changed]
            self._checks.enqueue(checks, delay=self._settings.quiet_period)
            queued += len(checks)
        return queued

    def _studies(self) -> Iterator[dict[str, int | None]]:
        """Yield the recent studies, a hundred at a time: UID and number of instances, None if unknown."""
        today = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC).date()
        # A day ahead: it is tomorrow already for a PACS in the east.
        first, last = today - datetime.timedelta(days=self._settings.days), today + datetime.timedelta(days=1)
        filters = {"StudyDate": f"{first:%Y%m%d}-{last:%Y%m%d}"}

        def search(offset: int) -> "SearchResult":
            fields = ("NumberOfStudyRelatedInstances",)
            return self._pacs.search_for_studies(filters, limit=_PAGE, offset=offset, includefields=fields)

        block: dict[str, int | None] = {}
        with pacs_errors():
            for row in all_rows(search):
                uid, count = text(row, _STUDY_UID), text(row, _STUDY_INSTANCES)
                if is_uid(uid):
                    # Two patients under one UID are two rows.
                    before = block.get(uid, 0)
                    block[uid] = before + int(count) if before is not None and count.isdecimal() else None
                if len(block) == _PAGE:
                    yield block
                    block = {}
        if block:
            yield block

    def _announced(self, uids: list[str]) -> dict[str, int]:
        table = self._settings.table
        keys = [{"StudyInstanceUID": uid, "SOPInstanceUID": STUDY} for uid in uids]
        with aws.errors("The registry of exams cannot be read now."):
            rows = list(aws.batch_get(table, keys))
        return {row["StudyInstanceUID"]: row["announcedInstances"] for row in rows if "announcedInstances" in row}
