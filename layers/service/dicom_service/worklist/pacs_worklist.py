"""A worklist at the PACS, with what the PACS cannot hold kept in the Workitems table.

The PACS says what is on the list and in which state. The table's row beside it holds the fields that the protocol has
no place for, the Transaction UID, what was deleted here but stays canceled there, and the workitems that have ended
where the PACS keeps no such thing.

A change goes through three steps, so that a PACS or a function that dies between any two leaves nothing half done:
the row notes what is under way; the PACS is asked; the row takes the outcome and its event in one transaction.
What is left with a note is settled by asking the PACS (`dicom_service.worklist.settling`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dicom_service.errors import BadRequest, Conflict
from dicom_service.worklist.rules import busy, check_deletable, check_move, check_scheduled, no_such_workitem, taken
from dicom_service.worklist.search import search
from dicom_service.worklist.settling import Settler
from dicom_service.worklist.store import Outdated, Pending, Row, WorkitemStore
from dicomweb.errors import DicomwebError, NotFound, NotSupported, PacsRejectedCredentials, RequestRejected
from dicomweb.worklist.base import FINAL_STATES, IN_PROGRESS, SCHEDULED, Page, Query, Workitem, Worklist

LONGEST_CALL = 60
"""Seconds after which nobody can still be at work on a change: a request has 29 s."""

_AT_PACS, _KEPT = "p", "k"

# The PACS said no, so nothing happened there. After anything else it may have happened.
_REFUSALS = (RequestRejected, NotFound, NotSupported, PacsRejectedCredentials)


@dataclass(frozen=True)
class Settled:
    """What became of the changes that were left under way.

    Parameters
    ----------
    done
        How many are settled.
    left
        How many stay, as the PACS could not be asked.
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

    supported_fields: frozenset[str]
    keeps_finished = True
    can_delete = True

    def __init__(
        self,
        pacs: Worklist,
        store: WorkitemStore,
        *,
        new_uid: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.supported_fields = pacs.supported_fields
        self._pacs = pacs
        self._store = store
        self._new_uid = new_uid
        self._clock = clock
        self._settler = Settler(pacs, store)

    def create(self, item: Workitem) -> Workitem:
        """Add a workitem, or leave nothing of it.

        Raises
        ------
        Conflict
            Its study has one already, here or at the PACS.
        Unavailable
            The table does not take it.
        DicomwebError
            The PACS does not take it.
        """
        before = self._settled(item)
        if before is not None and not before.deleted:
            raise taken()
        if self._known_at_pacs(item, hidden=before is not None):
            raise taken()
        claim = self._mark(before or Row(item, listed=False), Pending("create", self._now()), item)
        try:
            made = self._pacs.create(item)
        except DicomwebError as error:
            settled = self._after_failure(claim, error)
            if settled is not None:
                return settled
            if isinstance(error, RequestRejected) and error.reason == "DUPLICATE":
                raise taken() from error
            raise
        return self._settler.created(claim, made)

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Find workitems: first those at the PACS, then those that have ended and are kept here alone.

        Raises
        ------
        BadRequest
            The cursor is not one that was given out.
        Unavailable
            The table cannot be read.
        DicomwebError
            The PACS cannot be asked.
        """
        where, inner = (cursor[:1], cursor[1:] or None) if cursor else (_AT_PACS, None)
        if where not in (_AT_PACS, _KEPT):
            raise BadRequest("The cursor is not one that this service gave out.", code="INVALID_PARAMETER")
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

    def retrieve(self, item: Workitem) -> Workitem:
        """Return the workitem of a study.

        Raises
        ------
        NotFound
            There is none.
        Unavailable
            The table cannot be read.
        DicomwebError
            The PACS cannot be asked.
        """
        return self._current(item, self._store.read(item.study_instance_uid))

    def update(self, item: Workitem, changes: Mapping[str, str]) -> Workitem:
        """Change some fields of a scheduled workitem, or none of them.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            It is no longer scheduled, or another change is under way.
        Unavailable
            The table does not take it.
        DicomwebError
            The PACS does not take it.
        """
        row, current = self._open(item)
        check_scheduled(current)
        after = current.changed(changes)
        marked = self._mark(row, Pending("update", self._now(), fields=after.fields), current)
        try:
            made = self._pacs.update(current, changes)
        except DicomwebError as error:
            settled = self._after_failure(marked, error)
            if settled is None:
                raise
            return settled
        return self._settler.updated(marked, made)

    def change_state(self, item: Workitem, state: str) -> Workitem:
        """Move a workitem to another state; harmless when it has ended so already.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            PS3.4 CC.1.1 does not allow the move, another client owns it, or another change is under way.
        Unavailable
            The table does not take it.
        DicomwebError
            The PACS does not take it.
        """
        row, current = self._open(item)
        if not check_move(current, state):
            return current
        if current.state == SCHEDULED and state == IN_PROGRESS:
            # Noted before the PACS hears of it: a key that is lost would lock the workitem for ever.
            current = replace(current, transaction_uid=self._new_uid())
        marked = self._mark(row, Pending("state", self._now(), state=state), current)
        try:
            self._pacs.change_state(current, state)
        except DicomwebError as error:
            settled = self._after_failure(marked, error)
            if settled is not None:
                return settled
            if isinstance(error, RequestRejected):
                raise Conflict("The PACS does not allow this change of state.", code="ILLEGAL_TRANSITION") from error
            raise
        return self._settler.moved(marked, state)

    def delete(self, item: Workitem) -> None:
        """Take a workitem off the list; where the PACS can only cancel it, it is hidden from then on.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            It is in progress, or another change is under way.
        Unavailable
            The table does not take it.
        DicomwebError
            The PACS cannot be asked; the deletion is then carried out later.
        """
        row, current = self._open(item)
        check_deletable(current)
        marked = self._mark(row, Pending("delete", self._now()), current)
        try:
            self._pacs.delete(current)
        except DicomwebError as error:
            if self._after_failure(marked, error) is None:
                raise
            return
        self._settler.deleted(marked)

    def settle(self) -> Settled:
        """Bring to an end what was left under way by requests that are long over.

        Raises
        ------
        Unavailable
            The table cannot be read or written.
        """
        done = left = 0
        for study in self._store.unsettled(self._now() - LONGEST_CALL):
            row = self._store.read(study)
            if row is None or row.pending is None:
                continue
            try:
                self._settler.settle(row)
                done += 1
            except DicomwebError:
                left += 1
        return Settled(done, left)

    def _now(self) -> int:
        return int(self._clock())

    def _settled(self, item: Workitem) -> Row | None:
        """Give the row, once nothing is under way with it.

        Raises
        ------
        Conflict
            Another change is under way.
        """
        row = self._store.read(item.study_instance_uid)
        if row is None or row.pending is None:
            return row
        if row.pending.since + LONGEST_CALL > self._now():
            raise busy()
        self._settler.settle(row)
        return self._store.read(item.study_instance_uid)

    def _open(self, item: Workitem) -> tuple[Row, Workitem]:
        row = self._settled(item)
        current = self._current(item, row)
        return row or Row(current, listed=False), current

    def _current(self, item: Workitem, row: Row | None) -> Workitem:
        if row is not None and (row.deleted or _being_made(row)):
            raise no_such_workitem()
        if row is not None and row.listed:
            return row.item
        try:
            return merged(self._pacs.retrieve(row.item if row else item), row, self.supported_fields)
        except NotFound as error:
            raise no_such_workitem() from error

    def _known_at_pacs(self, item: Workitem, *, hidden: bool) -> bool:
        """Tell whether the PACS has a workitem of the study, other than one that was deleted and is hidden."""
        try:
            there = self._pacs.retrieve(Workitem(item.study_instance_uid, "", {}))
        except NotFound:
            return False
        return not (hidden and there.state in FINAL_STATES)

    def _shown(self, found: list[Workitem]) -> list[Workitem]:
        rows = self._store.read_many(each.study_instance_uid for each in found if each.study_instance_uid)
        pairs = [(each, rows.get(each.study_instance_uid)) for each in found]
        return [merged(each, row, self.supported_fields) for each, row in pairs if row is None or _is_of(row, each)]

    def _mark(self, row: Row, pending: Pending, item: Workitem) -> Row:
        try:
            return self._store.write(replace(row, item=item, deleted=False, pending=pending))
        except Outdated as error:
            if pending.operation == "create":
                raise taken() from error
            raise busy() from error

    def _after_failure(self, marked: Row, error: DicomwebError) -> Workitem | None:
        """Undo the note where nothing happened at the PACS; else find out now, or leave it to be settled later.

        Returns
        -------
        Workitem or None
            The workitem when the change did happen and only its answer was lost.
        """
        if isinstance(error, _REFUSALS):
            self._settler.release(marked)
            return None
        try:
            return self._settler.settle(marked, caller_waits=True)
        except DicomwebError:
            return None


def merged(found: Workitem, row: Row | None, supported_fields: frozenset[str]) -> Workitem:
    """Return what the PACS holds, completed by what it has no place for."""
    if row is None:
        return found
    kept = {name: value for name, value in row.item.fields.items() if name not in supported_fields}
    return replace(
        found,
        workitem_uid=row.item.workitem_uid or found.workitem_uid,
        fields={**found.fields, **kept},
        transaction_uid=row.item.transaction_uid,
        reference=found.reference or row.item.reference,
    )


def _being_made(row: Row) -> bool:
    return row.pending is not None and row.pending.operation == "create"


def _is_of(row: Row, found: Workitem) -> bool:
    """Tell whether a row speaks of just this workitem, and not of a later one of the same study."""
    if row.deleted or row.listed or _being_made(row):
        return False
    return not (row.item.workitem_uid and found.workitem_uid) or row.item.workitem_uid == found.workitem_uid
