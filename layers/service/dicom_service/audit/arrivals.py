"""Records what staged files bring to the PACS: in the audit, by whom, and then in the registry of exams.

The audit comes first (docs/audit.md): killed in between, or where it refuses, the files come again, and both records
are made.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
_SENDERS = 1000


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
    _senders: dict[str, tuple[Viewer, str]] = field(default_factory=dict, init=False, repr=False, compare=False)

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
        if (known := self._senders.get(staged.session)) is not None:
            return known
        upload = self.table.get(staged.session)
        if upload is None:
            return Viewer(UNKNOWN), ""
        opened_by = dict(upload.get("openedBy", {}))
        request_id = opened_by.pop("requestId", "")
        found = Viewer(**{"who": UNKNOWN, **opened_by}), request_id
        # Who opened an upload does not change, and a ZIP asks for it with each 99 instances.
        if len(self._senders) >= _SENDERS:
            self._senders.clear()
        self._senders[staged.session] = found
        return found
