"""Sending instances to the PACS: several small ones in one request, one by one where that is refused."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from dicom_service.exams.admission import Admission, Decision
from dicom_service.log import describe, get_logger
from dicom_service.uploads.failures import (
    PACS_ERROR,
    PACS_REFUSED,
    PACS_STOPS_ON_IT,
    SOP_INSTANCE_DIFFERS,
    Refusal,
    refusal,
)
from dicom_service.uploads.instance import OutboundInstance
from dicom_service.uploads.s3source import ObjectMissing, StorageError
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
    duplicate
        The PACS has an instance of this UID already, whatever its content.
    unanswered
        The request got no answer.

    With none of the first three the file is to be sent again later.
    """

    stored: bool = False
    refusal: Refusal | None = None
    missing: bool = False
    retry_after: int | None = None
    duplicate: bool = False
    unanswered: bool = False

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
    admission
        Decides which files may come in; None sends all.
    """

    def __init__(self, pacs: Pacs, admission: Admission | None = None) -> None:
        self._pacs = pacs
        self._admission = admission
        self._lock = threading.Lock()
        self._unanswered = 0
        self._retry_after: int | None = None

    def send(self, batch: Sequence[OutboundInstance]) -> list[Verdict]:
        """Store a batch in one request; where it is refused as a whole, each instance in its own.

        Parameters
        ----------
        batch
            Instances with different SOP Instance UIDs.
        """
        if self._unanswered >= _DOWN_AFTER:
            return [Verdict(retry_after=self._retry_after)] * len(batch)
        if self._admission is None:
            return self._store(batch)
        return Guarded(self._admission, self._store, self._after).send(batch)

    def _store(self, batch: Sequence[OutboundInstance]) -> list[Verdict]:
        try:
            result = self._pacs.store_instances([instance.part() for instance in batch])
        except DicomwebError as error:
            return self._after(error, batch)
        with self._lock:
            self._unanswered = 0
        return [
            Verdict(stored=True, duplicate=instance.duplicate)
            if instance.stored
            else Verdict(refusal=refusal(instance.failure_reason))
            for instance in result.instances
        ]

    def _after(self, error: DicomwebError, batch: Sequence[OutboundInstance]) -> list[Verdict]:
        logger.warning("store failed", extra={"parts": len(batch), **describe(error)})
        if isinstance(error, PacsUnreachable | PacsTimeout | PacsBusy | PacsRejectedCredentials):
            retry_after = error.retry_after if isinstance(error, PacsBusy) else None
            with self._lock:
                self._unanswered += _DOWN_AFTER if isinstance(error, PacsBusy) else 1
                self._retry_after = retry_after
            silent = isinstance(error, PacsUnreachable | PacsTimeout)
            return [Verdict(retry_after=retry_after, unanswered=silent)] * len(batch)
        if len(batch) > 1:
            return [self._store([instance])[0] for instance in batch]
        if isinstance(error, BodyUnreadable):
            return [Verdict(missing=_gone(error))]
        if isinstance(error, RequestRejected | PacsFault):
            reason = PACS_ERROR if isinstance(error, PacsFault) else PACS_REFUSED
            return [Verdict(refusal=Refusal(reason, None, passing=True))]
        if isinstance(error, NotSupported | NotFound):
            # The address of the PACS is wrong or its store service is off: the operator's to repair, the file waits.
            return [Verdict()]
        return [Verdict(refusal=Refusal("INVALID_UID", None, passing=False))]


class Guarded:
    """Sends a batch through the guard: what may not come in is refused, what is suspected goes alone, the rest goes.

    Parameters
    ----------
    admission
        The guard.
    store
        Sends a batch.
    after
        Turns an error of the PACS into verdicts.
    """

    def __init__(
        self,
        admission: Admission,
        store: Callable[[Sequence[OutboundInstance]], list[Verdict]],
        after: Callable[[DicomwebError, Sequence[OutboundInstance]], list[Verdict]],
    ) -> None:
        self._admission = admission
        self._store = store
        self._after = after

    def send(self, batch: Sequence[OutboundInstance]) -> list[Verdict]:
        """Store what may come in; one verdict for each."""
        try:
            decisions = self._admission.decide(batch)
        except (ObjectMissing, StorageError) as error:
            if len(batch) > 1:
                return [self.send([instance])[0] for instance in batch]
            return [Verdict(missing=isinstance(error, ObjectMissing))]
        except DicomwebError as error:
            if not isinstance(error, PacsUnreachable | PacsTimeout | PacsBusy | PacsRejectedCredentials):
                return [Verdict(refusal=Refusal(PACS_ERROR, None, passing=True))] * len(batch)
            # It was down before anything was sent: no file's fault.
            return [replace(verdict, unanswered=False) for verdict in self._after(error, batch)]
        verdicts = [_unsent(decision) for decision in decisions]
        company = [n for n, decision in enumerate(decisions) if decision.admitted and not decision.suspected]
        if company:
            sent = self._store([batch[n] for n in company])
            silent = [decisions[n] for n, verdict in zip(company, sent, strict=True) if verdict.unanswered]
            self._admission.stopped(silent, alone=False)
            for n, verdict in zip(company, sent, strict=True):
                verdicts[n] = self._settled(batch[n], decisions[n], verdict)
        suspected = [n for n, decision in enumerate(decisions) if decision.admitted and decision.suspected]
        # Those that are innocent go before the one that is not.
        for n in sorted(suspected, key=lambda n: decisions[n].claim.stops if decisions[n].claim else 0):  # type: ignore[union-attr]
            verdicts[n] = self._alone(batch[n], decisions[n])
        return verdicts

    def _alone(self, instance: OutboundInstance, decision: Decision) -> Verdict:
        place = self._admission.lock()
        if place is None:
            return Verdict()
        try:
            # Sent only where the PACS answers now: one that is down anyway is no file's fault.
            if not self._admission.answers():
                return Verdict()
            (verdict,) = self._store([instance])
            if verdict.unanswered and self._admission.stopped([decision], alone=True):
                return Verdict(refusal=Refusal(PACS_STOPS_ON_IT, None, passing=False))
            return self._settled(instance, decision, verdict)
        finally:
            self._admission.unlock(place)

    def _settled(self, instance: OutboundInstance, decision: Decision, verdict: Verdict) -> Verdict:
        if verdict.duplicate:
            try:
                same = self._admission.confirm(instance, decision)
            except DicomwebError as error:
                return self._after(error, [instance])[0]
            if not same:
                verdict = Verdict(refusal=Refusal(SOP_INSTANCE_DIFFERS, None, passing=False))
        if verdict.refusal is not None and not verdict.refusal.passing:
            self._admission.give_up(decision)
        return verdict


def _unsent(decision: Decision) -> Verdict:
    if decision.reason is None:
        return Verdict()
    return Verdict(refusal=Refusal(decision.reason, None, passing=False))


def _gone(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ObjectMissing):
            return True
        error = error.__cause__ or error.__context__
    return False
