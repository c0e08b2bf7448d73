"""Completes the workitem whose exam has arrived."""

from __future__ import annotations

from contextlib import nullcontext

from dicom_service.errors import Conflict, NotFound, Unavailable
from dicom_service.worklist.rules import BUSY
from dicom_service.worklist.service import Trouble
from dicomweb.worklist.base import COMPLETED, FINAL_STATES, IN_PROGRESS, SCHEDULED, Query, Workitem, Worklist

_MOST_STEPS = 20
"""Steps of one accession number that are looked at."""


class Reconciler:
    """Finds the workitem of an exam and completes it.

    Parameters
    ----------
    worklist
        What keeps the workitems.
    trouble
        Turns the worklist's own errors into this service's.
    """

    def __init__(self, worklist: Worklist, *, trouble: Trouble = nullcontext) -> None:
        self._worklist = worklist
        self._trouble = trouble

    def complete_for_exam(self, study_instance_uid: str, accession_number: str, patient_id: str) -> Workitem | None:
        """Complete the workitem of an exam that has arrived; harmless when repeated.

        It is the one with the exam's Study Instance UID, else the only open one with its Accession Number and
        Patient ID. Where several are open none is taken: completing the wrong one would hide a patient who waits.

        Parameters
        ----------
        accession_number, patient_id
            As in the exam, empty when it has none.

        Returns
        -------
        Workitem or None
            The workitem that was completed by this call.

        Raises
        ------
        PacsTrouble
            The PACS cannot be asked; call again.
        Unavailable
            A table cannot be read or written; call again.
        """
        with self._trouble():
            item = self._of_study(study_instance_uid) or self._of_order(accession_number, patient_id)
            return self._complete(item) if item is not None and item.state not in FINAL_STATES else None

    def _of_study(self, study_instance_uid: str) -> Workitem | None:
        try:
            return self._worklist.retrieve(Workitem(study_instance_uid, "", {}))
        except NotFound:
            return None

    def _of_order(self, accession_number: str, patient_id: str) -> Workitem | None:
        if not accession_number or not patient_id:
            return None
        query = Query(accession_number=accession_number, patient_id=patient_id)
        found = self._worklist.search(query, limit=_MOST_STEPS).items
        still_open = [item for item in found if item.state not in FINAL_STATES]
        return still_open[0] if len(still_open) == 1 else None

    def _complete(self, item: Workitem) -> Workitem | None:
        try:
            if item.state == SCHEDULED:
                self._worklist.change_state(item, IN_PROGRESS)
            return self._worklist.change_state(item, COMPLETED)
        except NotFound:
            return None
        except Conflict as error:
            if error.code == BUSY:
                raise Unavailable("The workitem is being changed; try again.") from error
            # It has ended meanwhile, or a client at the PACS owns it and will complete it.
            return None
