"""Index of one-time passwords by study and by the hash of the patient.

A table and not a secondary index, since it is read consistently: codes issued a moment ago are revoked too.
"""

from collections.abc import Iterator
from typing import Any

from dicom_service import aws
from dicom_service.otp.model import Otp
from dicom_service.patient import index_value

# A token outlives its code by a day at most; the row of the code is kept one day longer.
_TIDY_AFTER = 2 * 86_400


def study_subject(study_uid: str) -> str:
    """Return the subject of the codes of a study."""
    return f"study|{study_uid}"


def patient_subject(hashed: str) -> str:
    """Return the subject of the codes of a patient, given a hash of the patient."""
    return f"patient|{index_value(hashed)}"


def subject_rows(otp: Otp) -> Iterator[dict[str, Any]]:
    """Yield the index entries of a code."""
    subjects = [study_subject(otp.study_uid), *([patient_subject(otp.patient)] if otp.patient else [])]
    for subject in subjects:
        item = {"subject": subject, "otpId": otp.otp_id, "createdAt": otp.created_at}
        yield aws.to_item(item | {"tidyAt": otp.expires_at + _TIDY_AFTER})
