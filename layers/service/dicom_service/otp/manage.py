"""The issuer's view of one-time passwords: status, uses, and revocation."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dicom_service.audit.notes import note
from dicom_service.day import iso
from dicom_service.errors import BadRequest, NotFound
from dicom_service.otp import codes
from dicom_service.otp.audit_log import Actor, write_audit_line
from dicom_service.otp.events import event
from dicom_service.otp.model import MAX_ATTEMPTS, Otp, Redemption
from dicom_service.otp.store import OtpStore
from dicom_service.otp.subjects import patient_subject, study_subject
from dicom_service.patient import Patient, PatientHasher

# Left out of lists, since they take one more read for each code.
_SINGLE = ("lastUse", "redemptions")
_CURSOR = re.compile(r"[0-9]{1,12}\.[0-9a-f]{32}")
# Of a code, how many of the accesses with it are shown.
MOST_ACCESSES = 20
# What `dicom_service.auth.access_tokens.kind_of` tells apart.
OPENED = ("lists", "pictures", "reports", "files")
_NOT_FOUND = "There is no one-time password with this otpId."


class Manager:
    """Shows and revokes one-time passwords.

    Parameters
    ----------
    hasher
        Returns the hasher of patients; called when codes are looked up by patient.
    accesses
        Returns the newest records of a viewer in the audit, at most as many as it is told; None while they cannot be
        read.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        store: OtpStore,
        hasher: Callable[[], PatientHasher],
        accesses: Callable[[str, int], list[dict[str, Any]] | None],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._hasher = hasher
        self._accesses = accesses
        self._clock = clock

    def get(self, otp_id: str) -> dict[str, Any]:
        """Return state, attempts, every use with the requests of its access token since, and the newest accesses."""
        otp = self.otp(otp_id)
        redemptions = sorted(otp.redemptions.values(), key=lambda redemption: redemption.at)
        tokens = self._store.tokens([redemption.token_hash for redemption in redemptions])
        accesses = self._accesses(codes.viewer(otp.otp_id), MOST_ACCESSES)
        return {**self._view(otp, redemptions, tokens), "accesses": accesses}

    def _view(self, otp: Otp, redemptions: Sequence[Redemption], tokens: Mapping[str, Any]) -> dict[str, Any]:
        uses = []
        for redemption in redemptions:
            token = tokens.get(redemption.token_hash, {})
            last, ended = token.get("lastUsedAt"), token.get("signedOutAt")
            uses.append(
                {
                    "at": iso(redemption.at),
                    "accessTokenExpiresAt": iso(redemption.token_expires_at),
                    "requests": token.get("requests", 0),
                    "lastRequestAt": iso(last) if last else None,
                    "network": redemption.network,
                    "opened": {kind: token.get(kind, 0) for kind in OPENED},
                    "signedOutAt": iso(ended) if ended else None,
                }
            )
        return {
            "otpId": otp.otp_id,
            "reference": codes.reference(otp.otp_id),
            "state": otp.state_at(self._clock()),
            "studyUID": otp.study_uid,
            "role": otp.role,
            "user": otp.user,
            "issuer": otp.issuer,
            "download": otp.download,
            "showAccesses": otp.show_accesses,
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

    def find(
        self, *, study_uid: str | None, patient_id: str | None, limit: int, cursor: str | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """List the codes of a study or a patient, newest first, without the individual uses.

        Parameters
        ----------
        limit
            The most codes to return. A page with a cursor may have fewer, if some were deleted meanwhile.
        cursor
            The end of the previous page.

        Returns
        -------
        tuple
            The codes, and the cursor of the next page, or None.
        """
        after = _position_of(cursor) if cursor else None
        subjects = self._subjects(study_uid, patient_id)
        found = {entry for subject in subjects for entry in map(_sort_key, self._store.ids_of(subject))}
        entries = sorted(entry for entry in found if after is None or entry[:2] > after)
        page = entries[:limit]
        otps = self._store.get_many([otp_id for *_, otp_id in page])
        for otp in otps:
            note(study_uid=otp.study_uid, hashed=otp.patient or "")
        views = [self._view(otp, (), {}) for otp in otps]
        next_cursor = f"{-page[-1][0]}.{page[-1][1]}" if len(entries) > limit else None
        return [{name: value for name, value in view.items() if name not in _SINGLE} for view in views], next_cursor

    def revoke_all(self, actor: Actor, *, study_uid: str | None, patient_id: str | None) -> int:
        """Revoke all codes of a study or a patient with their access tokens; return how many were revoked now.

        After an error, calling again revokes the remaining ones.
        """
        return sum(self._revoke(otp, actor) for otp in self._codes_of(study_uid, patient_id) if otp.state != "REVOKED")

    def _codes_of(self, study_uid: str | None, patient_id: str | None) -> Iterator[Otp]:
        for subject in self._subjects(study_uid, patient_id):
            yield from self._store.codes_of(subject)

    def _subjects(self, study_uid: str | None, patient_id: str | None) -> list[str]:
        if study_uid is not None:
            return [study_subject(study_uid)]
        if patient_id is None:
            return []
        return [patient_subject(hashed) for hashed in self._hasher().all_hashes(Patient.of(patient_id))]

    def _revoke(self, otp: Otp, actor: Actor) -> bool:
        revoked = self._store.revoke(otp.otp_id, event("OTP Revoked", otp)) is None
        if revoked:
            note(study_uid=otp.study_uid, hashed=otp.patient or "")
            write_audit_line("revoked", actor, otp_id=otp.otp_id, study_uid=otp.study_uid)
        return revoked

    def revoke(self, otp_id: str, actor: Actor) -> None:
        """Revoke a one-time password and its access tokens at once; repeating it has no effect."""
        self._revoke(self.otp(otp_id), actor)

    def otp(self, otp_id: str) -> Otp:
        """Return a one-time password.

        Raises
        ------
        NotFound
            There is none with this otpId.
        Unavailable
            The table does not answer.
        """
        otp = self._store.get(codes.read_id(otp_id))
        if otp is None:
            raise NotFound(_NOT_FOUND, code="NO_SUCH_OTP")
        note(study_uid=otp.study_uid, hashed=otp.patient or "")
        return otp


def _sort_key(found: tuple[str, int]) -> tuple[int, str, str]:
    """Return the sort key of a code, newest first; cursors hold the reference, not the otpId, since URLs are logged."""
    otp_id, created_at = found
    return -created_at, codes.reference(otp_id), otp_id


def _position_of(cursor: str) -> tuple[int, str]:
    if not _CURSOR.fullmatch(cursor):
        raise BadRequest("The cursor is not one that this service gave out.", code="INVALID_PARAMETER")
    created_at, _, reference = cursor.partition(".")
    return -int(created_at), reference
