"""Completes or discards changes at the PACS that were interrupted; what the PACS holds decides.

==============  ===================================================================================================
pending change  recovered by
==============  ===================================================================================================
create          confirming it while the caller still waits; later by deleting the workitem, as the caller got an error
                and will schedule the procedure again
update          confirming it when the PACS holds the new fields, else discarding it
state           confirming it when the PACS has reached the state, else discarding it
delete          carrying it out
==============  ===================================================================================================
"""

from __future__ import annotations

from dataclasses import replace

from dicom_service.worklist import events
from dicom_service.worklist.store import Outdated, Row, WorkitemStore
from dicomweb.errors import NotFound, RequestRejected
from dicomweb.worklist.base import FINAL_STATES, IN_PROGRESS, Workitem, Worklist


class PendingChangeRecovery:
    """Confirms, discards or recovers the pending change of a row.

    Harmless when two do it at once, as only one of them can write. Every method raises Unavailable where the table
    does not take the outcome, and all but `recover` raise Outdated where someone else has written the row meanwhile;
    the change then stays pending.

    Parameters
    ----------
    pacs
        The worklist that is asked.
    store
        The rows.
    """

    def __init__(self, pacs: Worklist, store: WorkitemStore) -> None:
        self._pacs = pacs
        self._store = store

    def recover(self, row: Row, *, caller_waits: bool = False) -> Workitem | None:
        """Confirm or discard the pending change; return the workitem when the change is in force, else None."""
        operation = row.pending.operation if row.pending else ""
        recover_create = self._recover_create if caller_waits else self._undo_create
        recoveries = {
            "create": recover_create,
            "update": self._recover_update,
            "state": self._recover_state,
            "delete": self._recover_delete,
        }
        try:
            return recoveries[operation](row) if operation else row.item
        except Outdated:
            return None

    def discard(self, row: Row) -> None:
        """Discard a pending change that did not happen; the row of a creation goes with it.

        Where the PACS can only cancel, that row stays, and hides the canceled workitem there.
        """
        if row.pending is None or row.pending.operation != "create":
            key = row.item.transaction_uid if row.item.state == IN_PROGRESS else None
            self._store.write(replace(row, item=replace(row.item, transaction_uid=key), pending=None))
        elif self._pacs.can_delete:
            self._store.remove(row)
        else:
            self._store.write(replace(row, pending=None, deleted=True))

    def confirm_create(self, row: Row, made: Workitem) -> Workitem:
        """Write that the PACS has a new workitem."""
        return self._confirm(replace(row, item=made), events.CREATED)

    def confirm_update(self, row: Row, after: Workitem) -> Workitem:
        """Write that the PACS has the new fields of a workitem."""
        return self._confirm(replace(row, item=after), events.UPDATED)

    def confirm_state(self, row: Row, state: str) -> Workitem:
        """Write that a workitem has reached a state; it is kept here where the PACS keeps none that has ended."""
        kept = state in FINAL_STATES and not self._pacs.keeps_finished
        after = replace(row, item=replace(row.item, state=state), listed=row.listed or kept)
        return self._confirm(after, events.of_state(state))

    def confirm_delete(self, row: Row) -> None:
        """Remove the row of a deleted workitem, or turn it into one that hides the canceled workitem at the PACS."""
        published = [events.event(events.DELETED, row.item)]
        if self._pacs.can_delete:
            self._store.remove(row, published)
        else:
            self._store.write(replace(row, pending=None, listed=False, deleted=True), published)

    def _confirm(self, row: Row, detail_type: str) -> Workitem:
        return self._store.write(replace(row, pending=None), [events.event(detail_type, row.item)]).item

    def _recover_create(self, row: Row) -> Workitem | None:
        found = self._find(row)
        if found is None:
            self.discard(row)
            return None
        return self.confirm_create(row, replace(row.item, reference=found.reference))

    def _undo_create(self, row: Row) -> None:
        self._pacs.delete(row.item)
        self.discard(row)

    def _recover_update(self, row: Row) -> Workitem | None:
        wanted = row.pending.fields if row.pending and row.pending.fields is not None else {}
        found = self._find(row)
        if found is None or any(found.fields.get(name) != wanted.get(name) for name in self._pacs.supported_fields):
            self.discard(row)
            return None
        return self.confirm_update(row, replace(row.item, fields=wanted))

    def _recover_state(self, row: Row) -> Workitem | None:
        wanted = row.pending.state if row.pending and row.pending.state else row.item.state
        found = self._find(row)
        gone = found is None and not self._pacs.keeps_finished and wanted in FINAL_STATES
        if gone or (found is not None and found.state == wanted):
            return self.confirm_state(row, wanted)
        self.discard(row)
        return None

    def _recover_delete(self, row: Row) -> Workitem | None:
        try:
            self._pacs.delete(row.item)
        except RequestRejected:
            # Someone has begun to work on it, so it must not be deleted any more.
            self.discard(row)
            return None
        self.confirm_delete(row)
        return row.item

    def _find(self, row: Row) -> Workitem | None:
        try:
            return self._pacs.retrieve(row.item.key)
        except NotFound:
            return None
