"""A worklist at the PACS; the Workitems table keeps what the PACS cannot hold.

The PACS decides what is on the list and in which state. The row beside a workitem holds the fields that the protocol
does not support, the Transaction UID, whether the workitem was deleted here but stays canceled there, and the whole
workitem once it has ended where the PACS keeps none that has.

A change has three steps, so that a PACS or a function that dies between any two leaves nothing half done: the row
takes the pending change; the PACS is asked; the row takes the result and its event in one transaction. A change that
stays pending is recovered by asking the PACS (`dicom_service.worklist.recovery`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dicom_service.errors import BadRequest, Conflict
from dicom_service.worklist.recovery import PendingChangeRecovery
from dicom_service.worklist.rules import busy, check_deletable, check_move, check_scheduled, duplicate, no_such_workitem
from dicom_service.worklist.search import search
from dicom_service.worklist.store import Outdated, PendingChange, Row, WorkitemStore
from dicomweb.errors import DicomwebError, NotFound, NotSupported, PacsRejectedCredentials, RequestRejected
from dicomweb.worklist.base import FINAL_STATES, IN_PROGRESS, SCHEDULED, Page, Query, Workitem, WorkitemKey, Worklist

PENDING_TIMEOUT = 60
"""Seconds after which a pending change counts as interrupted: a request has 29 s."""

_AT_PACS, _KEPT = "p", "k"

# Errors that mean the PACS rejected the request without side effects. After any other the change may have happened.
_REJECTIONS = (RequestRejected, NotFound, NotSupported, PacsRejectedCredentials)


@dataclass(frozen=True)
class Recovered:
    """How many interrupted changes were recovered.

    Parameters
    ----------
    done
        Changes that were confirmed or discarded.
    left
        Changes that stay pending, as the PACS could not be asked.
    """

    done: int
    left: int


class PacsWorklist:
    """Makes the worklist of any PACS behave like the service's own.

    Parameters
    ----------
    pacs
        The worklist there, in its own protocol.
    store
        The rows beside it.
    new_uid
        Makes Transaction UIDs.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        pacs: Worklist,
        store: WorkitemStore,
        *,
        new_uid: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pacs = pacs
        self._store = store
        self._new_uid = new_uid
        self._clock = clock
        self._recovery = PendingChangeRecovery(pacs, store)

    def create(self, item: Workitem) -> Workitem:
        """Add a workitem, or leave nothing of it."""
        before = self._stable_row(item.key)
        if before is not None and not before.deleted:
            raise duplicate()
        if self._exists_at_pacs(item.study_instance_uid, hidden=before is not None):
            raise duplicate()
        row = self._begin(before or Row(item, listed=False), "create", item)
        try:
            made = self._pacs.create(item)
        except DicomwebError as error:
            recovered = self._after_failure(row, error)
            if recovered is not None:
                return recovered
            if isinstance(error, RequestRejected) and error.reason == "DUPLICATE":
                raise duplicate() from error
            raise
        return self._recovery.confirm_create(row, made)

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Find workitems: first those at the PACS, then those that have ended and are only kept here."""
        where, inner = (cursor[:1], cursor[1:] or None) if cursor else (_AT_PACS, None)
        if where not in (_AT_PACS, _KEPT):
            raise BadRequest("This service never returned this cursor.", code="INVALID_PARAMETER")
        items: list[Workitem] = []
        if where == _AT_PACS:
            page = self._pacs.search(query, limit=limit, cursor=inner)
            items = self._shown(page.items)
            if page.cursor:
                return Page(items, _AT_PACS + page.cursor)
            inner = None
        if self._pacs.keeps_finished:
            return Page(items)
        if len(items) >= limit:
            return Page(items, _KEPT)
        rows, further = search(self._store.table, query, limit=limit - len(items), cursor=inner)
        return Page([*items, *(row.item for row in rows)], further and _KEPT + further)

    def retrieve(self, key: WorkitemKey) -> Workitem:
        """Return the workitem of a study."""
        return self._current(key, self._store.read(key.study_instance_uid))

    def update(self, key: WorkitemKey, changes: Mapping[str, str]) -> Workitem:
        """Change some fields of a scheduled workitem, or none of them."""
        before, current = self._open(key)
        check_scheduled(current)
        row = self._begin(before, "update", current, fields=current.changed(changes).fields)
        try:
            made = self._pacs.update(current, changes)
        except DicomwebError as error:
            recovered = self._after_failure(row, error)
            if recovered is None:
                raise
            return recovered
        return self._recovery.confirm_update(row, made)

    def change_state(self, key: WorkitemKey, state: str) -> Workitem:
        """Move a workitem to another state; harmless when it has ended in that state already.

        Raises
        ------
        Conflict
            Also where the PACS rejects the move.
        """
        before, current = self._open(key)
        if not check_move(current, state):
            return current
        if current.state == SCHEDULED and state == IN_PROGRESS:
            # Written before the PACS is asked: a Transaction UID that is lost would lock the workitem forever.
            current = replace(current, transaction_uid=self._new_uid())
        row = self._begin(before, "state", current, state=state)
        try:
            self._pacs.change_state(current, state)
        except DicomwebError as error:
            recovered = self._after_failure(row, error)
            if recovered is not None:
                return recovered
            if isinstance(error, RequestRejected):
                raise Conflict("The PACS does not allow this change of state.", code="ILLEGAL_TRANSITION") from error
            raise
        return self._recovery.confirm_state(row, state)

    def delete(self, key: WorkitemKey) -> Workitem:
        """Take a workitem off the list, and return it; where the PACS can only cancel it, it is hidden from then on.

        Where the PACS cannot be asked, the deletion is carried out later.
        """
        before, current = self._open(key)
        check_deletable(current)
        row = self._begin(before, "delete", current)
        try:
            self._pacs.delete(current)
        except DicomwebError as error:
            if self._after_failure(row, error) is None:
                raise
            return current
        self._recovery.confirm_delete(row)
        return current

    def recover(self) -> Recovered:
        """Recover the changes that requests have left pending for longer than `PENDING_TIMEOUT`."""
        done = left = 0
        for study in self._store.pending_since(self._now() - PENDING_TIMEOUT):
            row = self._store.read(study)
            if row is None or row.pending is None:
                continue
            try:
                self._recovery.recover(row)
                done += 1
            except DicomwebError:
                left += 1
        return Recovered(done, left)

    def _now(self) -> int:
        return int(self._clock())

    def _stable_row(self, key: WorkitemKey) -> Row | None:
        """Return the row without a pending change; one that was interrupted is recovered first.

        Raises
        ------
        Conflict
            The pending change may still be under way.
        """
        row = self._store.read(key.study_instance_uid)
        if row is None or row.pending is None:
            return row
        if row.pending.since + PENDING_TIMEOUT > self._now():
            raise busy()
        self._recovery.recover(row)
        return self._store.read(key.study_instance_uid)

    def _open(self, key: WorkitemKey) -> tuple[Row, Workitem]:
        row = self._stable_row(key)
        current = self._current(key, row)
        return row or Row(current, listed=False), current

    def _current(self, key: WorkitemKey, row: Row | None) -> Workitem:
        if row is not None and (row.deleted or _being_created(row)):
            raise no_such_workitem()
        if row is not None and row.listed:
            return row.item
        try:
            return self._merged(self._pacs.retrieve(row.item.key if row else key), row)
        except NotFound as error:
            raise no_such_workitem() from error

    def _exists_at_pacs(self, study_instance_uid: str, *, hidden: bool) -> bool:
        """Return whether the PACS has a workitem of the study, other than one that was deleted and is hidden."""
        try:
            there = self._pacs.retrieve(WorkitemKey(study_instance_uid))
        except NotFound:
            return False
        return not (hidden and there.state in FINAL_STATES)

    def _shown(self, found: list[Workitem]) -> list[Workitem]:
        rows = self._store.read_many(each.study_instance_uid for each in found if each.study_instance_uid)
        pairs = [(each, rows.get(each.study_instance_uid)) for each in found]
        return [self._merged(each, row) for each, row in pairs if row is None or _belongs_to(row, each)]

    def _merged(self, found: Workitem, row: Row | None) -> Workitem:
        """Return a workitem of the PACS together with what the PACS cannot hold."""
        if row is None:
            return found
        kept = {name: value for name, value in row.item.fields.items() if name not in self._pacs.supported_fields}
        return replace(
            found,
            workitem_uid=row.item.workitem_uid or found.workitem_uid,
            fields={**found.fields, **kept},
            transaction_uid=row.item.transaction_uid,
            reference=found.reference or row.item.reference,
        )

    def _begin(
        self,
        row: Row,
        operation: str,
        item: Workitem,
        *,
        fields: Mapping[str, str] | None = None,
        state: str | None = None,
    ) -> Row:
        """Write a change as pending, before the PACS is asked.

        Raises
        ------
        Conflict
            Someone else has written the row meanwhile.
        """
        pending = PendingChange(operation, self._now(), fields, state)
        try:
            return self._store.write(replace(row, item=item, deleted=False, pending=pending))
        except Outdated as error:
            if operation == "create":
                raise duplicate() from error
            raise busy() from error

    def _after_failure(self, row: Row, error: DicomwebError) -> Workitem | None:
        """Discard the pending change where the PACS rejected it; else recover it now, or leave it for later.

        Returns
        -------
        Workitem or None
            The workitem when the change happened and only the response was lost.
        """
        if isinstance(error, _REJECTIONS):
            self._recovery.discard(row)
            return None
        try:
            return self._recovery.recover(row, caller_waits=True)
        except DicomwebError:
            return None


def _being_created(row: Row) -> bool:
    return row.pending is not None and row.pending.operation == "create"


def _belongs_to(row: Row, found: Workitem) -> bool:
    """Return whether a row belongs to this workitem, and not to a later one of the same study."""
    if row.deleted or row.listed or _being_created(row):
        return False
    return not (row.item.workitem_uid and found.workitem_uid) or row.item.workitem_uid == found.workitem_uid
