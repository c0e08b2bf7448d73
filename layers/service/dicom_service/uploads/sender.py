"""Sending instances to the PACS: several small ones in one request, one by one where that is refused."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dicom_service.log import describe, get_logger
from dicom_service.uploads.outgoing import Outgoing
from dicom_service.uploads.reasons import PACS_ERROR, PACS_REFUSED, Refusal, refusal
from dicom_service.uploads.s3source import ObjectMissing
from dicomweb.errors import (
    BodyUnreadable,
    DicomwebError,
    NotFound,
    NotSupported,
    PacsBusy,
    PacsFault,
    PacsRefusedCredentials,
    PacsTimeout,
    PacsUnreachable,
    RequestRefused,
)

if TYPE_CHECKING:
    from dicomweb.client import StorePart, StoreResult

logger = get_logger()

# After this many requests in a row that got no answer, the PACS is taken for down until the next invocation.
_DOWN_AFTER = 3


class Pacs(Protocol):
    """What is needed of `dicomweb.client.DicomwebClient`."""

    def store_instances(self, parts: "Sequence[StorePart]", study_uid: str | None = None) -> "StoreResult":
        """Store files and say of each what became of it."""


@dataclass(frozen=True)
class Verdict:
    """What became of an instance that was sent.

    Parameters
    ----------
    stored
        The PACS has it.
    refusal
        The PACS said no.
    missing
        The staged object was deleted meanwhile.
    retry_after
        Seconds that the PACS asks to be left alone, where it said so.

    With none of the first three the file is to be sent again later.
    """

    stored: bool = False
    refusal: Refusal | None = None
    missing: bool = False
    retry_after: int | None = None

    def later(self, refusals: int) -> bool:
        """Whether the file is to be tried again, after the PACS had refused it `refusals` times before."""
        if self.stored or self.missing:
            return False
        return self.refusal is None or not self.refusal.final(refusals + 1)


class Sender:
    """Stores instances and turns whatever happens into one verdict for each.

    Parameters
    ----------
    pacs
        The client; may be used by several threads.
    """

    def __init__(self, pacs: Pacs) -> None:
        self._pacs = pacs
        self._lock = threading.Lock()
        self._unanswered = 0
        self._retry_after: int | None = None

    def send(self, batch: Sequence[Outgoing]) -> list[Verdict]:
        """Store a batch in one request; where it is refused as a whole, each instance in its own.

        Parameters
        ----------
        batch
            Instances with different SOP Instance UIDs.
        """
        if self._unanswered >= _DOWN_AFTER:
            return [Verdict(retry_after=self._retry_after)] * len(batch)
        try:
            result = self._pacs.store_instances([outgoing.part() for outgoing in batch])
        except DicomwebError as error:
            return self._after(error, batch)
        with self._lock:
            self._unanswered = 0
        return [
            Verdict(stored=True) if instance.stored else Verdict(refusal=refusal(instance.failure_reason))
            for instance in result.instances
        ]

    def _after(self, error: DicomwebError, batch: Sequence[Outgoing]) -> list[Verdict]:
        logger.warning("store failed", extra={"parts": len(batch), **describe(error)})
        if isinstance(error, PacsUnreachable | PacsTimeout | PacsBusy | PacsRefusedCredentials):
            retry_after = error.retry_after if isinstance(error, PacsBusy) else None
            with self._lock:
                self._unanswered += _DOWN_AFTER if isinstance(error, PacsBusy) else 1
                self._retry_after = retry_after
            return [Verdict(retry_after=retry_after)] * len(batch)
        if len(batch) > 1:
            return [self.send([outgoing])[0] for outgoing in batch]
        if isinstance(error, BodyUnreadable):
            return [Verdict(missing=_gone(error))]
        if isinstance(error, RequestRefused | PacsFault):
            reason = PACS_ERROR if isinstance(error, PacsFault) else PACS_REFUSED
            return [Verdict(refusal=Refusal(reason, None, passing=True))]
        if isinstance(error, NotSupported | NotFound):
            # The address of the PACS is wrong or its store service is off: the operator's to repair, the file waits.
            return [Verdict()]
        return [Verdict(refusal=Refusal("INVALID_UID", None, passing=False))]


def _gone(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ObjectMissing):
            return True
        error = error.__cause__ or error.__context__
    return False
