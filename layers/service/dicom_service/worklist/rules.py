"""Which changes a workitem's state allows, the same for every worklist (PS3.4 CC.1.1)."""

from __future__ import annotations

from dicom_service.errors import Conflict, NotFound
from dicomweb.worklist.base import FINAL_STATES, IN_PROGRESS, SCHEDULED, Workitem, may_move

BUSY = "WORKITEM_BUSY"
"""Code of the conflict that ends when the other change does."""


def no_such_workitem() -> NotFound:
    """Return the error for a workitem that does not exist."""
    return NotFound("There is no workitem of this study.", code="NO_SUCH_WORKITEM")


def duplicate() -> Conflict:
    """Return the error for a study that has a workitem already."""
    return Conflict("There is a workitem with this StudyInstanceUID already.", code="DUPLICATE_WORKITEM")


def busy() -> Conflict:
    """Return the error for a workitem that has a pending change."""
    return Conflict("Another change of this workitem is under way; try again.", code=BUSY, headers={"Retry-After": "2"})


def check_scheduled(item: Workitem) -> None:
    """Check that a workitem is still scheduled, so that its fields can be changed.

    Raises
    ------
    Conflict
        It is in progress or has ended.
    """
    if item.state != SCHEDULED:
        raise Conflict(f"The workitem is {item.state}; only a SCHEDULED one can be changed.", code="NOT_SCHEDULED")


def check_deletable(item: Workitem) -> None:
    """Check that nobody works on a workitem, so that it can be deleted.

    Raises
    ------
    Conflict
        It is in progress.
    """
    if item.state == IN_PROGRESS:
        raise Conflict("The workitem is IN PROGRESS; complete or cancel it first.", code="IN_PROGRESS")


def check_move(item: Workitem, state: str) -> bool:
    """Return whether a workitem must change to be in a state.

    Returns
    -------
    bool
        False when it has ended in that state already, which is no error (PS3.4 CC.2.1.3).

    Raises
    ------
    Conflict
        The state machine has no such move.
    """
    if item.state == state and state in FINAL_STATES:
        return False
    if not may_move(item.state, state):
        raise Conflict(f"A workitem that is {item.state} cannot become {state}.", code="ILLEGAL_TRANSITION")
    return True
