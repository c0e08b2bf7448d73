"""Why a file is not stored: stable codes, and what the failure reasons of a PACS mean (PS3.18 Annex I.2.2)."""

from dataclasses import dataclass

# Reasons for which an entry of a ZIP is passed over, since it never was an instance: viewers, pictures, DICOMDIR.
NOT_AN_INSTANCE = frozenset({"NO_DICM", "EMPTY", "DICOMDIR"})

OBJECT_MISSING = "OBJECT_MISSING"
CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
UNKNOWN_UPLOAD = "UNKNOWN_UPLOAD"
EXPIRED = "EXPIRED"
NO_INSTANCES = "NO_INSTANCES"
PARTLY_STORED = "PARTLY_STORED"
INTERNAL_ERROR = "INTERNAL_ERROR"
PACS_REFUSED = "PACS_REFUSED"
PACS_ERROR = "PACS_ERROR"
SOP_INSTANCE_DIFFERS = "SOP_INSTANCE_DIFFERS"
STUDY_OF_ANOTHER_PATIENT = "STUDY_OF_ANOTHER_PATIENT"
PACS_STOPS_ON_IT = "PACS_STOPS_ON_IT"

DETAILS = {
    OBJECT_MISSING: "The staged object was deleted before it could be read.",
    CHECKSUM_MISMATCH: "The bytes that arrived do not have the SHA-256 that was announced.",
    UNKNOWN_UPLOAD: "No upload that is known announced this object.",
    EXPIRED: "The file did not arrive before the upload expired.",
    NO_INSTANCES: "The ZIP holds no DICOM instance.",
    INTERNAL_ERROR: "The service failed at this file again and again; it lies in quarantine.",
    SOP_INSTANCE_DIFFERS: "Another content or study has this SOPInstanceUID already.",
    STUDY_OF_ANOTHER_PATIENT: "The StudyInstanceUID belongs to another patient.",
    PACS_STOPS_ON_IT: "The PACS stopped answering each time this file was sent alone.",
    PARTLY_STORED: "Some instances of the ZIP were not stored.",
}

# How often the PACS may refuse a file in a way that may pass before the file is given up. Tries that got no answer do
# not count.
_PATIENCE = {"PACS_PROCESSING_FAILURE": 10, PACS_ERROR: 10, PACS_REFUSED: 5}


@dataclass(frozen=True)
class Refusal:
    """What a PACS says about an instance that it did not store.

    Parameters
    ----------
    reason
        Stable code for programs.
    code
        FailureReason (0008,1197) as four hexadecimal digits; None where the PACS gave none.
    passing
        The same file may be taken later.
    """

    reason: str
    code: str | None
    passing: bool

    @property
    def detail(self) -> str:
        """Say it in a sentence."""
        if self.reason in DETAILS:
            return DETAILS[self.reason]
        given = f"failure reason {self.code}" if self.code else "no failure reason"
        return f"The PACS did not store the instance ({given})."

    def final(self, refusals: int) -> bool:
        """Whether a file that the PACS has refused so often, this time included, is to be given up."""
        if not self.passing:
            return True
        # A full disk is the operator's to empty: the file waits for as long as the queue keeps it.
        return self.reason in _PATIENCE and refusals >= _PATIENCE[self.reason]


def refusal(failure_reason: int | None) -> Refusal:
    """Name a FailureReason (0008,1197) of a STOW-RS response (PS3.18 Table I.2-2, PS3.4 Table B.2-1)."""
    if failure_reason is None:
        return Refusal(PACS_REFUSED, None, passing=True)
    code = f"{failure_reason:04X}"
    exact = {
        "0110": Refusal("PACS_PROCESSING_FAILURE", code, passing=True),
        "0111": Refusal("PACS_DUPLICATE_INSTANCE", code, passing=False),
        "0117": Refusal("PACS_INVALID_INSTANCE", code, passing=False),
        "0122": Refusal("PACS_SOP_CLASS_NOT_SUPPORTED", code, passing=False),
        "0124": Refusal("PACS_NOT_AUTHORISED", code, passing=False),
        "0272": Refusal("PACS_PROCESSING_FAILURE", code, passing=True),
        "C122": Refusal("PACS_NOT_AUTHORISED", code, passing=False),
    }
    if code in exact:
        return exact[code]
    by_class = {
        "A7": Refusal("PACS_OUT_OF_RESOURCES", code, passing=True),
        "A9": Refusal("PACS_SOP_CLASS_MISMATCH", code, passing=False),
    }
    if code[:2] in by_class:
        return by_class[code[:2]]
    if code[0] == "C":
        return Refusal("PACS_CANNOT_UNDERSTAND", code, passing=False)
    return Refusal(PACS_REFUSED, code, passing=True)
