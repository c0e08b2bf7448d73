"""Events published about one-time passwords (api.md, "Notifications")."""

from typing import Literal

from dicom_service.day import iso
from dicom_service.otp import codes
from dicom_service.otp.model import Otp
from dicom_service.outbox import Event


def event(
    detail_type: Literal["OTP Issued", "OTP Redeemed", "OTP Locked", "OTP Revoked", "OTP Suspended", "OTP Resumed"],
    otp: Otp,
    *,
    uses: int | None = None,
) -> Event:
    """Return an event with the exam, the use and the reference of a code; never code, token, patient or user.

    ``otpId`` is the `reference`, so that readers of events cannot lock the code.
    """
    detail = {
        "otpId": codes.reference(otp.otp_id),
        "studyUID": otp.study_uid,
        "role": otp.role,
        "uses": otp.uses if uses is None else uses,
        "maxUses": otp.max_uses,
        "expiresAt": iso(otp.expires_at),
    }
    return Event(detail_type, detail)
