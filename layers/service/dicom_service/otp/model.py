"""A one-time password as it is stored: its exam, uses and expiry; never the code."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dicom_service.otp.codes import Form

MAX_ATTEMPTS = 5
ROLES = ("patient", "diagnostic")


@dataclass(frozen=True)
class Redemption:
    """One use of a code; times are seconds since the epoch, `network` is where from."""

    at: int
    token_hash: str
    token_expires_at: int
    network: str | None = None


@dataclass(frozen=True)
class Otp:
    """One row of the Otps table; times are seconds since the epoch.

    Parameters
    ----------
    key_id
        Id of the master secret the code is derived from.
    issuer
        The principal that issued it.
    user
        The intended person, as written by the issuer; returned to issuers, never logged.
    attempts
        Attempts charged and not refunded: failures, and redemptions in progress.
    state
        ``ACTIVE``, ``LOCKED``, ``SUSPENDED`` or ``REVOKED``; ``USED`` and ``EXPIRED`` follow from the other fields.
    download
        Whether files may be downloaded; False allows pictures and reports only.
    show_accesses
        Whether its bearer may see who saw the exam.
    patient
        Keyed hash of the patient it was issued for (`dicom_service.patient`); None for a code of an earlier version.
    birth_date_tag
        Keyed hash of the birth date, if redeeming requires it.
    redemptions
        Uses by the hash of their nonce.
    tidy_at
        When DynamoDB may delete the row; no decision depends on it.
    """

    otp_id: str
    key_id: str
    form: "Form"
    study_uid: str
    role: str
    issuer: str
    created_at: int
    expires_at: int
    tidy_at: int
    max_uses: int = 1
    user: str | None = None
    uses: int = 0
    attempts: int = 0
    state: str = "ACTIVE"
    download: bool = True
    show_accesses: bool = False
    birth_date_tag: str | None = None
    patient: str | None = None
    last_attempt_at: int | None = None
    redemptions: Mapping[str, Redemption] = field(default_factory=dict)

    def state_at(self, now: float) -> str:
        """Return the state at `now`, as issuers see it."""
        if self.state != "ACTIVE":
            return self.state
        if self.uses >= self.max_uses:
            return "USED"
        if self.expires_at <= now:
            return "EXPIRED"
        return "LOCKED" if self.attempts >= MAX_ATTEMPTS else "ACTIVE"

    def opens_at(self, now: float) -> bool:
        """Return whether the code or one of its tokens is still valid, suspension aside."""
        if self.state == "REVOKED":
            return False
        if self.expires_at > now and self.uses < self.max_uses:
            return True
        return any(redemption.token_expires_at > now for redemption in self.redemptions.values())

    def to_row(self) -> dict[str, Any]:
        """Return the attributes of the row."""
        return {
            "otpId": self.otp_id,
            "keyId": self.key_id,
            "form": self.form,
            "studyUID": self.study_uid,
            "role": self.role,
            "issuer": self.issuer,
            "user": self.user,
            "createdAt": self.created_at,
            "expiresAt": self.expires_at,
            "tidyAt": self.tidy_at,
            "maxUses": self.max_uses,
            "uses": self.uses,
            "attempts": self.attempts,
            "state": self.state,
            "download": self.download,
            "showAccesses": self.show_accesses,
            "birthDateTag": self.birth_date_tag,
            "patient": self.patient,
            "redemptions": {tag: vars(redemption) for tag, redemption in self.redemptions.items()},
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Otp":
        """Return the one-time password of a row."""
        return cls(
            otp_id=row["otpId"],
            key_id=row["keyId"],
            form=row["form"],
            study_uid=row["studyUID"],
            role=row["role"],
            issuer=row["issuer"],
            user=row.get("user"),
            created_at=row["createdAt"],
            expires_at=row["expiresAt"],
            tidy_at=row["tidyAt"],
            max_uses=row["maxUses"],
            uses=row["uses"],
            attempts=row["attempts"],
            state=row["state"],
            # Codes of earlier versions lack the attribute and allowed downloads.
            download=row.get("download", True),
            show_accesses=row.get("showAccesses", False),
            birth_date_tag=row.get("birthDateTag"),
            patient=row.get("patient"),
            last_attempt_at=row.get("lastAttemptAt"),
            redemptions={tag: Redemption(**entry) for tag, entry in row["redemptions"].items()},
        )
