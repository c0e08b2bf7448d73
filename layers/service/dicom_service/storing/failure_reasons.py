"""Why a file is not stored: stable codes, and the failure reasons of a PACS (PS3.18 Annex I.2.2).

What follows for the file, its report and quarantine, is in `dicom_service.uploads.stored_or_rejected`.
"""

from dataclasses import dataclass

# Reasons for which an entry of a ZIP is skipped, since it never was an instance: viewers, pictures, DICOMDIR.
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

# After how many rejections that may pass a file is given up. Attempts without an answer do not count. A full disk has
# no entry: the operator empties it, and the file waits for as long as the queue keeps it.
_PATIENCE = {"PACS_PROCESSING_FAILURE": 10, PACS_ERROR: 10, PACS_REFUSED: 5}


@dataclass(frozen=True)
class StoreFailure:
    """Why the PACS does not have an instance that was to be stored.

    Parameters
    ----------
    reason
        Stable code for programs.
    code
        FailureReason (0008,1197) as four hexadecimal digits; None where the PACS named none.
    retryable
        The same file may be stored later.
    rejected
        This file was rejected; False where the PACS was not asked, or is down.
    retry_after
        Seconds that the PACS asks to be left alone, where it did.
    unanswered
        The request was sent and got no answer.
    """

    reason: str
    code: str | None = None
    retryable: bool = False
    rejected: bool = True
    retry_after: int | None = None
    unanswered: bool = False

    @property
    def detail(self) -> str:
        """One sentence for people."""
        if self.reason in DETAILS:
            return DETAILS[self.reason]
        given = f"failure reason {self.code}" if self.code else "no failure reason"
        return f"The PACS did not store the instance ({given})."

    def permanent(self, rejections: int) -> bool:
        """Return whether to give the file up, which the PACS has rejected so many times before."""
        if not self.retryable:
            return True
        return self.rejected and self.reason in _PATIENCE and rejections + 1 >= _PATIENCE[self.reason]


# The file has to wait, whatever is in it.
WAITING = StoreFailure("", retryable=True, rejected=False)


def store_failure(failure_reason: int | None) -> StoreFailure:
    """Return what a FailureReason (0008,1197) of a STOW-RS response means (PS3.18 Table I.2-2, PS3.4 Table B.2-1)."""
    if failure_reason is None:
        return StoreFailure(PACS_REFUSED, retryable=True)
    code = f"{failure_reason:04X}"
    exact = {
        "0110": StoreFailure("PACS_PROCESSING_FAILURE", code, retryable=True),
        "0111": StoreFailure("PACS_DUPLICATE_INSTANCE", code),
        "0117": StoreFailure("PACS_INVALID_INSTANCE", code),
        "0122": StoreFailure("PACS_SOP_CLASS_NOT_SUPPORTED", code),
        "0124": StoreFailure("PACS_NOT_AUTHORISED", code),
        "0272": StoreFailure("PACS_PROCESSING_FAILURE", code, retryable=True),
        "C122": StoreFailure("PACS_NOT_AUTHORISED", code),
    }
    by_class = {
        "A7": StoreFailure("PACS_OUT_OF_RESOURCES", code, retryable=True),
        "A9": StoreFailure("PACS_SOP_CLASS_MISMATCH", code),
    }
    found = exact.get(code) or by_class.get(code[:2])
    if found is None and code[0] == "C":
        found = StoreFailure("PACS_CANNOT_UNDERSTAND", code)
    return found or StoreFailure(PACS_REFUSED, code, retryable=True)
