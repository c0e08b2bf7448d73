"""The issuer's side: how a one-time password fared, and its end."""

import time
from collections.abc import Callable
from typing import Any

from dicom_service.errors import NotFound
from dicom_service.otp import codes
from dicom_service.otp.audit import Actor, audit
from dicom_service.otp.happenings import event
from dicom_service.otp.model import MAX_ATTEMPTS, Otp, iso
from dicom_service.otp.store import OtpStore

_NONE_SUCH = "There is no one-time password with this otpId."


class Manager:
    """Shows and revokes one-time passwords.

    Parameters
    ----------
    clock
        Seconds since the epoch.
    """

    def __init__(self, store: OtpStore, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def get(self, otp_id: str) -> dict[str, Any]:
        """Show state, attempts and every use, with what each access token was used for since.

        Raises
        ------
        NotFound
            There is none with this otpId, or it is long over and tidied away.
        Unavailable
            The tables do not answer.
        """
        otp = self._find(otp_id)
        redemptions = sorted(otp.redemptions.values(), key=lambda redemption: redemption.at)
        tokens = self._store.tokens([redemption.token_hash for redemption in redemptions])
        uses = []
        for redemption in redemptions:
            token = tokens.get(redemption.token_hash, {})
            last = token.get("lastUsedAt")
            uses.append(
                {
                    "at": iso(redemption.at),
                    "accessTokenExpiresAt": iso(redemption.token_expires_at),
                    "requests": token.get("requests", 0),
                    "lastRequestAt": iso(last) if last else None,
                }
            )
        return {
            "otpId": otp.otp_id,
            "state": otp.state_at(self._clock()),
            "studyUID": otp.study_uid,
            "role": otp.role,
            "user": otp.user,
            "issuer": otp.issuer,
            "download": otp.download,
            "requireBirthDate": otp.birth_date_tag is not None,
            "createdAt": iso(otp.created_at),
            "expiresAt": iso(otp.expires_at),
            "maxUses": otp.max_uses,
            "uses": otp.uses,
            "attempts": otp.attempts,
            "attemptsLeft": max(0, MAX_ATTEMPTS - otp.attempts),
            "lastUse": uses[-1]["at"] if uses else None,
            "redemptions": uses,
        }

    def revoke(self, otp_id: str, actor: Actor) -> None:
        """End a one-time password and every access token it gave, at once; once more does no harm.

        Raises
        ------
        NotFound
            There is none with this otpId.
        Unavailable
            The tables do not answer.
        """
        otp = self._find(otp_id)
        if self._store.revoke(otp.otp_id, event("OTP Revoked", otp)) is None:
            audit("revoked", actor, otp_id=otp.otp_id, study_uid=otp.study_uid)

    def _find(self, otp_id: str) -> Otp:
        otp = self._store.get(codes.read_id(otp_id))
        if otp is None:
            raise NotFound(_NONE_SUCH, code="NO_SUCH_OTP")
        return otp
