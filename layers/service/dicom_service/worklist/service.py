"""The operations on workitems that the API offers, whatever worklist holds them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from dicom_service.errors import BadRequest
from dicom_service.worklist.validation import check_changes, check_new
from dicomweb.worklist.base import STATES, Page, Query, Workitem, WorkitemKey

ErrorMapping = Callable[[], AbstractContextManager[None]]
"""Maps the errors of a PACS to those of this service; nothing to do where no PACS is asked."""


class ServiceWorklist(Protocol):
    """A worklist with the rules of this service: its own, or one at the PACS made to behave like it.

    Every method raises Unavailable where a table cannot be read or written, and DicomwebError where a PACS fails.
    """

    def create(self, item: Workitem) -> Workitem:
        """Add a workitem.

        Raises
        ------
        Conflict
            Its study has one already.
        """

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Find workitems.

        Raises
        ------
        BadRequest
            This service never returned this cursor.
        """

    def retrieve(self, key: WorkitemKey) -> Workitem:
        """Return the workitem of a study.

        Raises
        ------
        NotFound
            There is none.
        """

    def update(self, key: WorkitemKey, changes: Mapping[str, str]) -> Workitem:
        """Change some fields of a scheduled workitem; an empty value removes the field.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            It is no longer scheduled, or has a pending change.
        """

    def change_state(self, key: WorkitemKey, state: str) -> Workitem:
        """Move a workitem to another state; harmless when it has ended in that state already.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            PS3.4 CC.1.1 does not allow the move, another client owns the workitem, or it has a pending change.
        """

    def delete(self, key: WorkitemKey) -> Workitem:
        """Take a workitem off the list; return it.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            It is in progress, or has a pending change.
        """


class WorklistService:
    """Validates requests and passes them to the worklist.

    Its methods raise the errors of `ServiceWorklist`, those of a PACS mapped, and BadRequest for an invalid body.

    Parameters
    ----------
    worklist
        The workitems.
    new_uids
        Makes and registers as many UIDs as asked for.
    error_mapping
        Maps the PACS's errors to this service's.
    """

    def __init__(
        self,
        worklist: ServiceWorklist,
        new_uids: Callable[[int], list[str]],
        *,
        error_mapping: ErrorMapping = nullcontext,
    ) -> None:
        self._worklist = worklist
        self._new_uids = new_uids
        self._error_mapping = error_mapping

    def create(self, body: Mapping[str, Any]) -> Workitem:
        """Create a workitem; UIDs and the ID of the step are made where the body has none."""
        fields = check_new(body)
        study = fields.pop("StudyInstanceUID", "")
        uids = self._new_uids(1 if study else 2)
        fields.setdefault("ScheduledProcedureStepID", _step_id())
        with self._error_mapping():
            return self._worklist.create(Workitem(study or uids[1], uids[0], fields))

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Find workitems."""
        with self._error_mapping():
            return self._worklist.search(query, limit=limit, cursor=cursor)

    def get(self, study_instance_uid: str) -> Workitem:
        """Return the workitem of a study."""
        with self._error_mapping():
            return self._worklist.retrieve(WorkitemKey(study_instance_uid))

    def update(self, study_instance_uid: str, body: Mapping[str, Any]) -> Workitem:
        """Change fields of a scheduled workitem."""
        changes = check_changes(body)
        with self._error_mapping():
            return self._worklist.update(WorkitemKey(study_instance_uid), changes)

    def change_state(self, study_instance_uid: str, body: Mapping[str, Any]) -> Workitem:
        """Move a workitem to the state that the body names; return it.

        Raises
        ------
        BadRequest
            The body names no state.
        """
        state = body.get("State")
        if set(body) != {"State"} or state not in STATES:
            problem = {"field": "State", "problem": 'the body is {"State": one of ' + ", ".join(STATES[1:]) + "}"}
            raise BadRequest("The body does not name a state.", code="INVALID_STATE", errors=[problem])
        with self._error_mapping():
            return self._worklist.change_state(WorkitemKey(study_instance_uid), state)

    def delete(self, study_instance_uid: str) -> Workitem:
        """Remove a workitem; return it."""
        with self._error_mapping():
            return self._worklist.delete(WorkitemKey(study_instance_uid))


def _step_id() -> str:
    """Return a new ID that fits SH: 15 characters, 48 random bits."""
    return f"SPS{secrets.token_hex(6).upper()}"
