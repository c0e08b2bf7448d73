"""Sends instances to the PACS: several small ones in one request, one by one where that is rejected.

What becomes of a rejected file is in `dicom_service.uploads.stored_or_rejected`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from dicom_service import metrics
from dicom_service.element_walk import ObjectMissing, StorageError
from dicom_service.log import describe, get_logger
from dicom_service.pacs_errors import count_pacs_error
from dicom_service.storing.admission import Admission, Decision
from dicom_service.storing.failure_reasons import (
    OBJECT_MISSING,
    PACS_ERROR,
    PACS_REFUSED,
    PACS_STOPS_ON_IT,
    SOP_INSTANCE_DIFFERS,
    WAITING,
    StoreFailure,
    store_failure,
)
from dicom_service.storing.outbound_instance import OutboundInstance
from dicomweb.errors import (
    BodyUnreadable,
    DicomwebError,
    NotFound,
    NotSupported,
    PacsBusy,
    PacsFault,
    PacsRejectedCredentials,
    PacsTimeout,
    PacsUnreachable,
    RequestRejected,
)

if TYPE_CHECKING:
    from dicomweb.client import StorePart, StoreResult

logger = get_logger()

# After this many requests in a row that got no answer, the PACS counts as down until the next invocation.
_DOWN_AFTER = 3
# The PACS has an instance of this UID already: whether that is a failure depends on its content.
_DUPLICATE = StoreFailure("PACS_DUPLICATE_INSTANCE")

# Why an instance is not stored; None where the PACS has it.
Sent = StoreFailure | None


class Pacs(Protocol):
    """The method of `dicomweb.client.DicomwebClient` that is called here."""

    def store_instances(self, parts: "Sequence[StorePart]", study_uid: str | None = None) -> "StoreResult":
        """Store files and return a result for each."""


class Sender:
    """Stores instances, and turns whatever happens into one result for each.

    Parameters
    ----------
    pacs
        The client; may be used by several threads.
    admission
        Decides which files may come in; None sends all.
    """

    def __init__(self, pacs: Pacs, admission: Admission | None = None) -> None:
        self._pacs = pacs
        self._admission = admission
        self._lock = threading.Lock()
        self._unanswered = 0
        self._retry_after: int | None = None

    def send(self, batch: Sequence[OutboundInstance]) -> list[Sent]:
        """Store a batch in one request; where that is rejected as a whole, each instance in its own.

        Parameters
        ----------
        batch
            Instances with different SOP Instance UIDs.

        Returns
        -------
        list
            For each instance None if the PACS has it, else the failure.
        """
        if self._unanswered >= _DOWN_AFTER:
            return [replace(WAITING, retry_after=self._retry_after)] * len(batch)
        if self._admission is None:
            return [None if failure is _DUPLICATE else failure for failure in self._store(batch)]
        return _Guard(self._admission, self._store, self._after).send(batch)

    def _store(self, batch: Sequence[OutboundInstance]) -> list[Sent]:
        started = time.monotonic()
        try:
            result = self._pacs.store_instances([instance.part() for instance in batch])
        except DicomwebError as error:
            if not isinstance(error, PacsBusy | BodyUnreadable):
                count_pacs_error(error)
            return self._after(error, batch)
        metrics.seconds("PacsStoreSeconds", time.monotonic() - started)
        with self._lock:
            self._unanswered = 0
        return [
            (_DUPLICATE if instance.duplicate else None) if instance.stored else store_failure(instance.failure_reason)
            for instance in result.instances
        ]

    def _after(self, error: DicomwebError, batch: Sequence[OutboundInstance]) -> list[Sent]:
        logger.warning("store failed", extra={"parts": len(batch), **describe(error)})
        if isinstance(error, PacsUnreachable | PacsTimeout | PacsBusy | PacsRejectedCredentials):
            retry_after = error.retry_after if isinstance(error, PacsBusy) else None
            with self._lock:
                self._unanswered += _DOWN_AFTER if isinstance(error, PacsBusy) else 1
                self._retry_after = retry_after
            unanswered = isinstance(error, PacsUnreachable | PacsTimeout)
            return [replace(WAITING, retry_after=retry_after, unanswered=unanswered)] * len(batch)
        if len(batch) > 1:
            return [self._store([instance])[0] for instance in batch]
        if isinstance(error, BodyUnreadable):
            return [_unreadable(error)]
        if isinstance(error, RequestRejected | PacsFault):
            reason = PACS_ERROR if isinstance(error, PacsFault) else PACS_REFUSED
            return [StoreFailure(reason, retryable=True)]
        if isinstance(error, NotSupported | NotFound):
            # The address of the PACS is wrong or its store service is off: the operator repairs it, the file waits.
            return [WAITING]
        return [StoreFailure("INVALID_UID")]


class _Guard:
    """Sends what may come in: what is suspected goes alone, the rest together.

    Parameters
    ----------
    admission
        Decides which files may come in.
    store
        Sends a batch.
    after
        Turns an error of the PACS into results.
    """

    def __init__(
        self,
        admission: Admission,
        store: Callable[[Sequence[OutboundInstance]], list[Sent]],
        after: Callable[[DicomwebError, Sequence[OutboundInstance]], list[Sent]],
    ) -> None:
        self._admission = admission
        self._store = store
        self._after = after

    def send(self, batch: Sequence[OutboundInstance]) -> list[Sent]:
        try:
            decisions = self._admission.decide(batch)
        except (ObjectMissing, StorageError) as error:
            if len(batch) > 1:
                return [self.send([instance])[0] for instance in batch]
            return [_unreadable(error)]
        except DicomwebError as error:
            if not isinstance(error, PacsUnreachable | PacsTimeout | PacsBusy | PacsRejectedCredentials):
                return [StoreFailure(PACS_ERROR, retryable=True)] * len(batch)
            # It was down before anything was sent: no file's fault.
            return [failure and replace(failure, unanswered=False) for failure in self._after(error, batch)]
        results: list[Sent] = [StoreFailure(each.reason) if each.reason else WAITING for each in decisions]
        company = [n for n, decision in enumerate(decisions) if decision.admitted and not decision.suspected]
        if company:
            sent = self._store([batch[n] for n in company])
            silent = [decisions[n] for n, failure in zip(company, sent, strict=True) if failure and failure.unanswered]
            self._admission.stopped(silent, alone=False)
            for n, failure in zip(company, sent, strict=True):
                results[n] = self._decided(batch[n], decisions[n], failure)
        suspected = [n for n, decision in enumerate(decisions) if decision.admitted and decision.suspected]
        # Those that are innocent go before the one that is not.
        for n in sorted(suspected, key=lambda n: _stops(decisions[n])):
            results[n] = self._alone(batch[n], decisions[n])
        return results

    def _alone(self, instance: OutboundInstance, decision: Decision) -> Sent:
        place = self._admission.lock()
        if place is None:
            return WAITING
        try:
            # Sent only where the PACS answers now: one that is down anyway is no file's fault.
            if not self._admission.answers():
                return WAITING
            (failure,) = self._store([instance])
            if failure and failure.unanswered and self._admission.stopped([decision], alone=True):
                return StoreFailure(PACS_STOPS_ON_IT)
            return self._decided(instance, decision, failure)
        finally:
            self._admission.unlock(place)

    def _decided(self, instance: OutboundInstance, decision: Decision, failure: Sent) -> Sent:
        if failure is _DUPLICATE:
            try:
                same = self._admission.confirm(instance, decision)
            except DicomwebError as error:
                return self._after(error, [instance])[0]
            failure = None if same else StoreFailure(SOP_INSTANCE_DIFFERS)
        if failure and not failure.retryable and failure.reason != OBJECT_MISSING:
            self._admission.give_up(decision)
        return failure


def _stops(decision: Decision) -> int:
    return decision.claim.stops if decision.claim else 0


def _unreadable(error: BaseException | None) -> StoreFailure:
    """Return what an error at reading the file means: it is gone for good, or may be read later."""
    while error is not None:
        if isinstance(error, ObjectMissing):
            return StoreFailure(OBJECT_MISSING)
        error = error.__cause__ or error.__context__
    return WAITING
