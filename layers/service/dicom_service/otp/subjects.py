"""What one-time passwords are found by: the study, and the hash of the patient.

A table of its own and not an index, since it is read consistently: a code that was issued just now is revoked too.
"""

from collections.abc import Iterator
from typing import Any

from dicom_service import aws
from dicom_service.otp.model import Otp
from dicom_service.patient import index_value

# A token lives for a day at most after its code; the row of the code is kept a day longer.
_TIDY_AFTER = 2 * 86_400


def study_subject(study_uid: str) -> str:
    """Return what the codes of a study are found by."""
    return f"study|{study_uid}"


def patient_subject(hashed: str) -> str:
    """Return what the codes of a patient are found by, given a hash of the patient."""
    return f"patient|{index_value(hashed)}"


def subject_rows(otp: Otp) -> Iterator[dict[str, Any]]:
    """Give the items by which a code is found."""
    subjects = [study_subject(otp.study_uid), *([patient_subject(otp.patient)] if otp.patient else [])]
    for subject in subjects:
        item = {"subject": subject, "otpId": otp.otp_id, "createdAt": otp.created_at}
        yield aws.to_item(item | {"tidyAt": otp.expires_at + _TIDY_AFTER})
