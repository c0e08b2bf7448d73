"""Records what staged files bring to the PACS: in the audit, by whom, and then in the registry of exams.

The audit comes first (docs/audit.md): killed in between, or where it refuses, the files come again, and both records
are made.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dicom_service.audit.notes import Shown
from dicom_service.audit.record import Viewer
from dicom_service.audit.recorder import UNKNOWN, Recorder
from dicom_service.patient import Patient

if TYPE_CHECKING:
    from dicom_service.exams.registry import Arrived, ExamRegistry
    from dicom_service.uploads.staged_object import StagedObject
    from dicom_service.uploads.table import UploadsTable

DROPPED = "drop"


@dataclass(frozen=True)
class Arrivals:
    """Records arrived instances.

    Parameters
    ----------
    table
        The uploads, which name who opened them.
    registry
        The registry of exams.
    recorder
        Returns the recorder of the audit.
    """

    table: "UploadsTable"
    registry: "ExamRegistry"
    recorder: Callable[[], Recorder]

    def record(self, arrived: "Sequence[Arrived]", staged: "StagedObject") -> None:
        """Record instances that the PACS has stored; again is harmless, but counted again in the audit.

        Parameters
        ----------
        arrived
            Any number of them.
        staged
            What brought them, or one of its upload.

        Raises
        ------
        Unavailable
            Audit or registry cannot be written.
        """
        viewer, request_id = self._sender(staged)
        shown = Counter(Shown(one.study_instance_uid, Patient.of(one.patient_id)) for one in arrived)
        route = f"S3 {staged.source}/"
        self.recorder().arrived(viewer, request_id, route, shown)
        self.registry.record(arrived, source=staged.source, session=staged.session)

    def _sender(self, staged: "StagedObject") -> tuple[Viewer, str]:
        if not staged.session:
            return Viewer(DROPPED), ""
        opened_by = (self.table.get(staged.session) or {}).get("openedBy", {})
        request_id = opened_by.get("requestId", "")
        known = {name: value for name, value in opened_by.items() if name != "requestId"}
        return Viewer(**{"who": UNKNOWN, **known}), request_id
