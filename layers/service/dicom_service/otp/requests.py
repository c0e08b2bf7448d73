"""What callers of one-time passwords request, as the rules take it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class IssueRequest:
    """The wishes of an issuer; `expires_in` is in seconds."""

    study_uid: str
    patient_id: str | None = None
    user: str | None = None
    role: str = "patient"
    expires_in: int = 600
    max_uses: int = 1
    require_birth_date: bool = False
    download: bool = True
    show_accesses: bool = False


@dataclass(frozen=True)
class RedeemRequest:
    """A request to redeem a code.

    Parameters
    ----------
    birth_date
        PatientBirthDate as DA (``YYYYMMDD``), if the code requires it.
    nonce
        The caller's Idempotency-Key: repeating a request with the same key returns the same token.
    """

    otp_id: str
    code: str
    birth_date: str | None = None
    nonce: str | None = None
