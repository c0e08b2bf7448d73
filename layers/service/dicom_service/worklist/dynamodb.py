"""The service's own worklist, kept in the Workitems table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dicom_service import errors
from dicom_service.outbox import Event
from dicom_service.worklist import events
from dicom_service.worklist.rules import check_deletable, check_move, check_scheduled, no_such_workitem, taken
from dicom_service.worklist.search import search
from dicom_service.worklist.store import Outdated, Row, WorkitemStore
from dicomweb.worklist.attributes import ALL_FIELDS
from dicomweb.worklist.base import Page, Query, Workitem

_ATTEMPTS = 5


class DynamoWorklist:
    """Workitems in DynamoDB: each change and its event are one transaction, on the version that was read."""

    supported_fields = ALL_FIELDS
    keeps_finished = True
    can_delete = True

    def __init__(self, store: WorkitemStore) -> None:
        self._store = store

    def create(self, item: Workitem) -> Workitem:
        """Add a workitem.

        Raises
        ------
        Conflict
            Its study has one already.
        Unavailable
            The table does not take it.
        """
        try:
            return self._store.write(Row(item), [events.event(events.CREATED, item)]).item
        except Outdated as error:
            raise taken() from error

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Find workitems in order of their scheduled start.

        Raises
        ------
        BadRequest
            The cursor is not one that was given out.
        Unavailable
            The table cannot be read.
        """
        rows, further = search(self._store.table, query, limit=limit, cursor=cursor)
        return Page([row.item for row in rows], further)

    def retrieve(self, item: Workitem) -> Workitem:
        """Return the workitem of a study.

        Raises
        ------
        NotFound
            There is none.
        Unavailable
            The table cannot be read.
        """
        return self._row(item).item

    def update(self, item: Workitem, changes: Mapping[str, str]) -> Workitem:
        """Change some fields of a scheduled workitem.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            It is no longer scheduled.
        Unavailable
            The table does not take it.
        """

        def changed(row: Row) -> tuple[Row, list[Event]]:
            check_scheduled(row.item)
            after = row.item.changed(changes)
            return replace(row, item=after), [events.event(events.UPDATED, after)]

        return self._change(item, changed)

    def change_state(self, item: Workitem, state: str) -> Workitem:
        """Move a workitem to another state; harmless when it has ended so already.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            PS3.4 CC.1.1 does not allow the move.
        Unavailable
            The table does not take it.
        """

        def moved(row: Row) -> tuple[Row, list[Event]]:
            if not check_move(row.item, state):
                return row, []
            after = replace(row.item, state=state)
            return replace(row, item=after), [events.state_event(after)]

        return self._change(item, moved)

    def delete(self, item: Workitem) -> None:
        """Remove a workitem.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            It is in progress.
        Unavailable
            The table does not take it.
        """
        for _ in range(_ATTEMPTS):
            row = self._row(item)
            check_deletable(row.item)
            try:
                self._store.remove(row, [events.event(events.DELETED, row.item)])
            except Outdated:
                continue
            return
        raise errors.Unavailable("Too many change this workitem at once; try again.")

    def _change(self, item: Workitem, change: Callable[[Row], tuple[Row, list[Event]]]) -> Workitem:
        for _ in range(_ATTEMPTS):
            before = self._row(item)
            after, told = change(before)
            if after == before:
                return before.item
            try:
                return self._store.write(after, told).item
            except Outdated:
                continue
        raise errors.Unavailable("Too many change this workitem at once; try again.")

    def _row(self, item: Workitem) -> Row:
        row = self._store.read(item.study_instance_uid)
        if row is None:
            raise no_such_workitem()
        return row
