"""The result of one file of an upload or of the drop prefix; its row, report and event are made from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from dicom_service.exams.registry import Arrived
    from dicom_service.uploads.staged_object import StagedObject

# Of a row in the Uploads table: (uploadId, file).
Key = tuple[str, str]
State = Literal["stored", "partly-stored", "rejected"]


@dataclass(frozen=True)
class FileResult:
    """The final result of one file.

    Parameters
    ----------
    key
        Its row in the Uploads table.
    state
        What it is from now on.
    reason, detail
        Why not all of it was stored.
    values
        What else is recorded of it: instance, study, counts.
    entries
        For a ZIP: one result for each entry, for its report.
    arrived
        For a single file: the instance that the PACS now has.
    staged, version_id
        The object, and the version of it that was read; None for a file that never came.
    """

    key: Key
    state: State
    reason: str | None = None
    detail: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    entries: Sequence[Mapping[str, Any]] | None = None
    arrived: "Arrived | None" = None
    staged: "StagedObject | None" = None
    version_id: str | None = None

    @property
    def recorded(self) -> dict[str, Any]:
        """What the Uploads table and the report say."""
        return {"state": self.state, "reason": self.reason, "detail": self.detail, **self.values}

    @property
    def studies(self) -> set[str]:
        """The studies that it brought instances of."""
        stored = {entry["studyInstanceUID"] for entry in self.entries or () if entry["state"] == "stored"}
        return stored | ({self.arrived.study_instance_uid} if self.arrived else set())
