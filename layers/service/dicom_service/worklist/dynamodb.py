"""The service's own worklist, kept in the Workitems table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from dicom_service import errors
from dicom_service.worklist import events
from dicom_service.worklist.rules import check_deletable, check_move, check_scheduled, duplicate, no_such_workitem
from dicom_service.worklist.search import search
from dicom_service.worklist.store import Outdated, Row, WorkitemStore
from dicomweb.worklist.base import Page, Query, Workitem, WorkitemKey

_ATTEMPTS = 5


class DynamoWorklist:
    """Workitems in DynamoDB: each change and its event are one transaction, on the version that was read."""

    def __init__(self, store: WorkitemStore) -> None:
        self._store = store

    def create(self, item: Workitem) -> Workitem:
        """Add a workitem."""
        try:
            return self._store.write(Row(item), [events.event(events.CREATED, item)]).item
        except Outdated as error:
            raise duplicate() from error

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Find workitems in order of their scheduled start."""
        rows, further = search(self._store.table, query, limit=limit, cursor=cursor)
        return Page([row.item for row in rows], further)

    def retrieve(self, key: WorkitemKey) -> Workitem:
        """Return the workitem of a study."""
        return self._row(key).item

    def update(self, key: WorkitemKey, changes: Mapping[str, str]) -> Workitem:
        """Change some fields of a scheduled workitem."""

        def updated(item: Workitem) -> tuple[Workitem, str]:
            check_scheduled(item)
            return item.changed(changes), events.UPDATED

        return self._change(key, updated)

    def change_state(self, key: WorkitemKey, state: str) -> Workitem:
        """Move a workitem to another state; harmless when it has ended so already."""

        def moved(item: Workitem) -> tuple[Workitem, str]:
            after = replace(item, state=state) if check_move(item, state) else item
            return after, events.of_state(state)

        return self._change(key, moved)

    def delete(self, key: WorkitemKey) -> Workitem:
        """Remove a workitem; return it."""
        for _ in range(_ATTEMPTS):
            row = self._row(key)
            check_deletable(row.item)
            try:
                self._store.remove(row, [events.event(events.DELETED, row.item)])
            except Outdated:
                continue
            return row.item
        raise _contended()

    def _change(self, key: WorkitemKey, change: Callable[[Workitem], tuple[Workitem, str]]) -> Workitem:
        for _ in range(_ATTEMPTS):
            row = self._row(key)
            after, detail_type = change(row.item)
            if after == row.item:
                return after
            try:
                return self._store.write(replace(row, item=after), [events.event(detail_type, after)]).item
            except Outdated:
                continue
        raise _contended()

    def _row(self, key: WorkitemKey) -> Row:
        row = self._store.read(key.study_instance_uid)
        if row is None:
            raise no_such_workitem()
        return row


def _contended() -> errors.Unavailable:
    return errors.Unavailable("Too many requests change this workitem at once; try again.")
