"""What the API does with workitems, whatever keeps them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dicom_service.errors import BadRequest
from dicom_service.worklist.validation import check_changes, check_new
from dicomweb.worklist.base import STATES, Page, Query, Workitem, Worklist

Trouble = Callable[[], AbstractContextManager[None]]
"""Turns the errors of a PACS into answers; where none is asked there are none."""


class WorklistService:
    """Checks what callers send and hands it to the worklist.

    Parameters
    ----------
    worklist
        What keeps the workitems.
    new_uids
        Makes and registers as many UIDs as asked for.
    trouble
        Turns the worklist's own errors into answers.
    """

    def __init__(
        self, worklist: Worklist, new_uids: Callable[[int], list[str]], *, trouble: Trouble = nullcontext
    ) -> None:
        self._worklist = worklist
        self._new_uids = new_uids
        self._trouble = trouble

    def create(self, body: Mapping[str, Any]) -> Workitem:
        """Create a workitem; the UIDs and the ID of the step are made where they are not given.

        Raises
        ------
        BadRequest
            Fields are missing, unknown or do not fit.
        Conflict
            The study has a workitem already.
        PacsTrouble
            The PACS does not take it.
        Unavailable
            A table does not take it.
        """
        fields = check_new(body)
        study = fields.pop("StudyInstanceUID", "")
        uids = self._new_uids(1 if study else 2)
        fields.setdefault("ScheduledProcedureStepID", _step_id())
        with self._trouble():
            return self._worklist.create(Workitem(study or uids[1], uids[0], fields))

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Find workitems.

        Raises
        ------
        BadRequest
            The cursor is not one that was given out.
        PacsTrouble
            The PACS cannot be asked.
        Unavailable
            A table cannot be read.
        """
        with self._trouble():
            return self._worklist.search(query, limit=limit, cursor=cursor)

    def get(self, study_instance_uid: str) -> Workitem:
        """Return the workitem of a study.

        Raises
        ------
        NotFound
            There is none.
        PacsTrouble
            The PACS cannot be asked.
        Unavailable
            A table cannot be read.
        """
        with self._trouble():
            return self._worklist.retrieve(_known_by(study_instance_uid))

    def update(self, study_instance_uid: str, body: Mapping[str, Any]) -> Workitem:
        """Change fields of a scheduled workitem.

        Raises
        ------
        BadRequest
            Fields are unknown, fixed or do not fit.
        NotFound
            There is no such workitem.
        Conflict
            It is no longer scheduled, or another change is under way.
        PacsTrouble
            The PACS does not take it.
        Unavailable
            A table does not take it.
        """
        changes = check_changes(body)
        with self._trouble():
            return self._worklist.update(_known_by(study_instance_uid), changes)

    def change_state(self, study_instance_uid: str, body: Mapping[str, Any]) -> None:
        """Move a workitem to the state that the body names.

        Raises
        ------
        BadRequest
            The body names no state.
        NotFound
            There is no such workitem.
        Conflict
            PS3.4 CC.1.1 does not allow the move, or another change is under way.
        PacsTrouble
            The PACS does not take it.
        Unavailable
            A table does not take it.
        """
        state = body.get("State")
        if set(body) != {"State"} or state not in STATES:
            problem = {"field": "State", "problem": 'the body is {"State": one of ' + ", ".join(STATES[1:]) + "}"}
            raise BadRequest("The body does not name a state.", code="INVALID_STATE", errors=[problem])
        with self._trouble():
            self._worklist.change_state(_known_by(study_instance_uid), state)

    def delete(self, study_instance_uid: str) -> None:
        """Remove a workitem.

        Raises
        ------
        NotFound
            There is no such workitem.
        Conflict
            It is in progress, or another change is under way.
        PacsTrouble
            The PACS cannot be asked.
        Unavailable
            A table does not take it.
        """
        with self._trouble():
            self._worklist.delete(_known_by(study_instance_uid))


def _known_by(study_instance_uid: str) -> Workitem:
    return Workitem(study_instance_uid, "", {})


def _step_id() -> str:
    """Make an ID that fits SH: 15 characters, 48 random bits."""
    return f"SPS{secrets.token_hex(6).upper()}"
