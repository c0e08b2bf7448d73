"""Completes the workitem whose exam has arrived."""

from __future__ import annotations

from contextlib import nullcontext

from dicom_service.errors import Conflict, NotFound, Unavailable
from dicom_service.worklist.rules import BUSY
from dicom_service.worklist.service import ErrorMapping, ServiceWorklist
from dicomweb.worklist.base import COMPLETED, FINAL_STATES, IN_PROGRESS, SCHEDULED, Query, Workitem, WorkitemKey

_MOST_STEPS = 20
"""How many steps of one accession number are compared."""


class Reconciler:
    """Finds the workitem of an exam and completes it.

    Parameters
    ----------
    worklist
        The workitems.
    error_mapping
        Maps the PACS's errors to this service's.
    """

    def __init__(self, worklist: ServiceWorklist, *, error_mapping: ErrorMapping = nullcontext) -> None:
        self._worklist = worklist
        self._error_mapping = error_mapping

    def complete_for_exam(self, study_instance_uid: str, accession_number: str, patient_id: str) -> Workitem | None:
        """Complete the workitem of an exam that has arrived; harmless when repeated.

        It is the one with the exam's Study Instance UID, else the only open one with its Accession Number and
        Patient ID. Where several are open none is completed: the wrong one would hide a patient who is waiting.

        Parameters
        ----------
        accession_number, patient_id
            As in the exam, empty when it has none.

        Returns
        -------
        Workitem or None
            The workitem, when this call completed it.
        """
        with self._error_mapping():
            item = self._of_study(study_instance_uid) or self._of_order(accession_number, patient_id)
            return self._complete(item) if item is not None and item.state not in FINAL_STATES else None

    def _of_study(self, study_instance_uid: str) -> Workitem | None:
        try:
            return self._worklist.retrieve(WorkitemKey(study_instance_uid))
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
                self._worklist.change_state(item.key, IN_PROGRESS)
            return self._worklist.change_state(item.key, COMPLETED)
        except NotFound:
            return None
        except Conflict as error:
            if error.code == BUSY:
                raise Unavailable("The workitem is being changed; try again.") from error
            # It has ended meanwhile, or a client of the PACS owns it and will complete it.
            return None
