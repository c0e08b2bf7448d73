"""What may be done with a workitem in which state, the same for every worklist (PS3.4 CC.1.1)."""

from __future__ import annotations

from dicom_service.errors import Conflict, NotFound
from dicomweb.worklist.base import FINAL_STATES, IN_PROGRESS, SCHEDULED, Workitem, may_move

BUSY = "WORKITEM_BUSY"
"""Code of the conflict that is over in a moment."""


def no_such_workitem() -> NotFound:
    """Give the answer for a workitem that is not there."""
    return NotFound("There is no workitem of this study.", code="NO_SUCH_WORKITEM")


def taken() -> Conflict:
    """Give the answer for a study that has a workitem already."""
    return Conflict("There is a workitem with this StudyInstanceUID already.", code="DUPLICATE_WORKITEM")


def busy() -> Conflict:
    """Give the answer while another change of the workitem is under way."""
    return Conflict("Another change of this workitem is under way; try again.", code=BUSY, headers={"Retry-After": "2"})


def check_scheduled(item: Workitem) -> None:
    """Let only a scheduled workitem be changed.

    Raises
    ------
    Conflict
        It is in progress or has ended.
    """
    if item.state != SCHEDULED:
        raise Conflict(f"The workitem is {item.state}; only a SCHEDULED one can be changed.", code="NOT_SCHEDULED")


def check_deletable(item: Workitem) -> None:
    """Let no workitem be deleted while someone works on it.

    Raises
    ------
    Conflict
        It is in progress.
    """
    if item.state == IN_PROGRESS:
        raise Conflict("The workitem is IN PROGRESS; complete or cancel it first.", code="IN_PROGRESS")


def check_move(item: Workitem, state: str) -> bool:
    """Tell whether there is something to do to bring a workitem to a state.

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
