"""Brings to an end what was left half done at the PACS: the PACS is asked, and what it says holds.

=========  =============================================================================================
left       settled by
=========  =============================================================================================
create     keeping it while the caller still waits; later by taking it back, as the caller was told that it
           failed and will schedule the procedure again
update     keeping it when the PACS holds the new fields, else forgetting it
state      keeping it when the PACS has reached the state, else forgetting it
delete     carrying it out
=========  =============================================================================================
"""

from __future__ import annotations

from dataclasses import replace

from dicom_service.worklist import events
from dicom_service.worklist.store import Outdated, Row, WorkitemStore
from dicomweb.errors import NotFound, RequestRejected
from dicomweb.worklist.base import FINAL_STATES, IN_PROGRESS, Workitem, Worklist


class Settler:
    """Settles single rows; harmless when two do it at once, as only one of them can write.

    Parameters
    ----------
    pacs
        Who is asked.
    store
        Where the outcome goes.
    """

    def __init__(self, pacs: Worklist, store: WorkitemStore) -> None:
        self._pacs = pacs
        self._store = store

    def settle(self, row: Row, *, caller_waits: bool = False) -> Workitem | None:
        """Settle a row that has a note; give the workitem when the change is in force, else None.

        Raises
        ------
        DicomwebError
            The PACS cannot be asked; the note stays.
        Unavailable
            The table does not take the outcome; the note stays.
        """
        operation = row.pending.operation if row.pending else ""
        creation = self._made if caller_waits else self._take_back
        act = {"create": creation, "update": self._updated, "state": self._moved, "delete": self._deleted}
        try:
            return act[operation](row) if operation else row.item
        except Outdated:
            return None

    def release(self, row: Row) -> None:
        """Take the note off a row whose change did not happen; the row of a creation goes with it.

        Where the PACS can only cancel, that row stays, and hides what may be left there.

        Raises
        ------
        Outdated
            Someone else has written the row meanwhile.
        Unavailable
            The table does not take it.
        """
        if row.pending is None or row.pending.operation != "create":
            key = row.item.transaction_uid if row.item.state == IN_PROGRESS else None
            self._store.write(replace(row, item=replace(row.item, transaction_uid=key), pending=None))
        elif self._pacs.can_delete:
            self._store.remove(row)
        else:
            self._store.write(replace(row, pending=None, deleted=True))

    def created(self, row: Row, made: Workitem) -> Workitem:
        """Write that the PACS has a new workitem.

        Raises
        ------
        Outdated
            Someone else has written the row meanwhile.
        Unavailable
            The table does not take it.
        """
        done = replace(row, item=made, pending=None)
        return self._store.write(done, [events.event(events.CREATED, made)]).item

    def updated(self, row: Row, after: Workitem) -> Workitem:
        """Write that the PACS has the new fields of a workitem.

        Raises
        ------
        Outdated
            Someone else has written the row meanwhile.
        Unavailable
            The table does not take it.
        """
        done = replace(row, item=after, pending=None)
        return self._store.write(done, [events.event(events.UPDATED, after)]).item

    def moved(self, row: Row, state: str) -> Workitem:
        """Write that a workitem has reached a state; it is kept here where the PACS keeps none that has ended.

        Raises
        ------
        Outdated
            Someone else has written the row meanwhile.
        Unavailable
            The table does not take it.
        """
        after = replace(row.item, state=state)
        kept = state in FINAL_STATES and not self._pacs.keeps_finished
        done = replace(row, item=after, listed=row.listed or kept, pending=None)
        return self._store.write(done, [events.state_event(after)]).item

    def deleted(self, row: Row) -> None:
        """Remove the row of a deleted workitem, or turn it into what hides the rest of it at the PACS.

        Raises
        ------
        Outdated
            Someone else has written the row meanwhile.
        Unavailable
            The table does not take it.
        """
        told = [events.event(events.DELETED, row.item)]
        if self._pacs.can_delete:
            self._store.remove(row, told)
        else:
            self._store.write(replace(row, pending=None, listed=False, deleted=True), told)

    def _made(self, row: Row) -> Workitem | None:
        found = self._found(row)
        if found is None:
            self.release(row)
            return None
        return self.created(row, replace(row.item, reference=found.reference))

    def _take_back(self, row: Row) -> None:
        self._pacs.delete(row.item)
        self.release(row)

    def _updated(self, row: Row) -> Workitem | None:
        wanted = row.pending.fields if row.pending and row.pending.fields is not None else {}
        found = self._found(row)
        if found is None or any(found.fields.get(name) != wanted.get(name) for name in self._pacs.supported_fields):
            self.release(row)
            return None
        return self.updated(row, replace(row.item, fields=wanted))

    def _moved(self, row: Row) -> Workitem | None:
        wanted = row.pending.state if row.pending and row.pending.state else row.item.state
        found = self._found(row)
        gone = found is None and not self._pacs.keeps_finished and wanted in FINAL_STATES
        if gone or (found is not None and found.state == wanted):
            return self.moved(row, wanted)
        self.release(row)
        return None

    def _deleted(self, row: Row) -> Workitem | None:
        try:
            self._pacs.delete(row.item)
        except RequestRejected:
            # Someone has begun to work on it: it is not to be deleted any more.
            self.release(row)
            return None
        self.deleted(row)
        return row.item

    def _found(self, row: Row) -> Workitem | None:
        try:
            return self._pacs.retrieve(row.item)
        except NotFound:
            return None
