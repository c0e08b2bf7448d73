"""Where a deployed stack keeps something of a patient (docs/security.md, "What lies where")."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

# Stores of the template that hold nothing of a patient, and why erasure passes them by.
HOLD_NOTHING = {"UidsTable": "prefixes of UIDs; nothing says what they were used for"}
# Stores that are kept although they tell of a patient, and why.
KEPT = {
    "AuditTable": "who saw the exam, with its UID and a keyed hash of the patient (GDPR Art. 17(3)(b))",
    "AuditBucket": "the same, day by day",
}


def _output(name: str) -> str:
    value: str = field(metadata={"output": name})
    return value


@dataclass(frozen=True)
class Places:
    """The stores of one stack.

    Parameters
    ----------
    worklist_files
        ``s3://bucket/prefix``, a folder, or empty: the parameter WorklistFiles.
    queues
        Name and URL of each queue: what they hold at the moment cannot be reached.
    """

    exams: str = _output("ExamsTable")
    events: str = _output("ExamEventsTable")
    instances: str = _output("InstancesTable")
    workitems: str = _output("WorkitemsTable")
    uploads: str = _output("UploadsTable")
    archives: str = _output("ArchivesTable")
    otps: str = _output("OtpsTable")
    access_tokens: str = _output("AccessTokensTable")
    subjects: str = _output("OtpSubjectsTable")
    staging: str = _output("StagingBucket")
    cache: str = _output("CacheBucket")
    patient_keys: str = _output("PatientKeysSecret")
    worklist_files: str = ""
    queues: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, outputs: Mapping[str, str], parameters: Mapping[str, str]) -> "Places":
        """Return the places of a stack, from its outputs and parameters."""
        named = {one.name: outputs[one.metadata["output"]] for one in fields(cls) if "output" in one.metadata}
        queues = {name: value for name, value in outputs.items() if name.endswith("Queue")}
        return cls(**named, worklist_files=parameters.get("WorklistFiles", ""), queues=queues)


def outputs_used() -> set[str]:
    """Return the outputs of the stack that name the stores which erasure goes through."""
    return {one.metadata["output"] for one in fields(Places) if "output" in one.metadata}
