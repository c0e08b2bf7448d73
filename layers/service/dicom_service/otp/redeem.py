"""Redeems a code for an access token, exactly once per use.

All rejections return the same error, so a caller learns nothing from it.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dicom_service import metrics
from dicom_service.audit.notes import begin_change, note, note_viewer
from dicom_service.errors import NotFound, PacsError, Unauthorized
from dicom_service.otp import codes
from dicom_service.otp.audit_log import Actor, network_of, write_audit_line
from dicom_service.otp.events import event
from dicom_service.otp.guard import ExamGuard, ExamSuspended
from dicom_service.otp.guesses import Guesses
from dicom_service.otp.keyring import Keyring
from dicom_service.otp.model import MAX_ATTEMPTS, Otp, Redemption
from dicom_service.otp.requests import RedeemRequest
from dicom_service.otp.store import OtpStore, Rejection

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

REJECTED = "The one-time password is not accepted."
# Longer than a function runs: an attempt charged this long ago and not refunded failed, or its function died.
_ABANDONED = 60
# Share of the usual deadline of the PACS: nobody should wait for a token because the PACS is slow.
_SHARE = 0.2


class Redeemer:
    """Redeems one-time passwords.

    Parameters
    ----------
    guard
        Compares the patient of the code with the exam's in the PACS.
    connect
        Returns the client of the PACS; called for the first correct code.
    token_lifetime
        Lifetime of an access token in seconds.
    matches
        Compares in constant time; tests count the comparisons.
    clock
        Seconds since the epoch.
    guesses
        Counts wrong redemptions across all codes; None counts none.
    """

    def __init__(
        self,
        store: OtpStore,
        keyring: Keyring,
        guard: ExamGuard,
        connect: Callable[[], "DicomwebClient"],
        *,
        token_lifetime: int = 3600,
        matches: codes.Matches = hmac.compare_digest,
        clock: Callable[[], float] = time.time,
        guesses: Guesses | None = None,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._guard = guard
        self._connect = connect
        self._token_lifetime = token_lifetime
        self._matches = matches
        self._clock = clock
        self._guesses = guesses

    def redeem(self, request: RedeemRequest, address: str = "") -> dict[str, Any]:
        """Redeem a code. Rejections charge, derive and compare alike; the one that locks a code writes once more.

        Raises
        ------
        Unauthorized
            ``OTP_REJECTED``, the same for codes that are wrong, unknown, used, expired, locked or revoked.
        TooManyWrongCodes
            Too many were wrong within five minutes, one of them from this network; nothing is charged or compared.
        Unavailable
            The tables do not answer; the request may be repeated with the same nonce.
        """
        if self._guesses:
            self._guesses.check(address)
        now = int(self._clock())
        otp_id = codes.read_id(request.otp_id)
        nonce = request.nonce or secrets.token_urlsafe(32)
        tag = codes.nonce_tag(otp_id, nonce)
        actor = Actor(f"bearer of {codes.reference(otp_id)}", address)
        outcome = self._store.charge(otp_id, tag, now)
        charged = None if isinstance(outcome, Rejection) else outcome
        otp = outcome.otp if isinstance(outcome, Rejection) else outcome
        # Who makes up an otpId makes up no viewer of the audit.
        if otp is not None:
            note_viewer(codes.viewer(otp_id))
            note(study_uid=otp.study_uid, hashed=otp.patient or "")
        correct = self._is_correct(otp, request, charged=charged is not None)
        if charged is None or not correct:
            self._lock_if_exhausted(otp, actor, charged=charged is not None, now=now)
            raise self._rejected(otp_id, otp, actor, "wrong" if charged else self._state(otp, now))
        try:
            charged, compared_at = self._check_patient(charged, now)
        except ExamSuspended:
            raise self._rejected(otp_id, charged, actor, "not, or not only, this patient's exam") from None
        token = self._token(charged, nonce)
        wanted = Redemption(now, codes.token_hash(token), now + self._token_lifetime, network_of(address))
        redemption = self._use(charged, tag, wanted, compared_at)
        if redemption is None:
            raise self._rejected(otp_id, charged, actor, "used, or withdrawn, meanwhile")
        write_audit_line("redeemed", actor, otp_id=otp_id, study_uid=charged.study_uid)
        return {
            "accessToken": token,
            "tokenType": "Bearer",
            "expiresIn": redemption.token_expires_at - now,
            "studyUID": charged.study_uid,
            "role": charged.role,
            "download": charged.download,
            "showAccesses": charged.show_accesses,
        }

    def _is_correct(self, otp: Otp | None, request: RedeemRequest, *, charged: bool) -> bool:
        """Compare code and birth date, with the same work for a code that cannot be redeemed or does not exist.

        Without a charged attempt, the code of `UNKNOWN_ID` is compared instead, and the result is ignored.
        """
        key_id, master = self._keyring.current()
        if otp is not None and otp.key_id != key_id:
            # The key no longer exists: no code can be correct, and the work below stays the same.
            master = self._keyring.find(otp.key_id) or secrets.token_bytes(32)
        otp_id = otp.otp_id if otp is not None and charged else codes.UNKNOWN_ID
        code_matches = codes.is_code(request.code, master, otp_id, otp.form if otp else "digits", self._matches)
        tag = otp.birth_date_tag if otp is not None else None
        date_matches = codes.is_birth_date(request.birth_date or "", tag, master, otp_id, self._matches)
        return code_matches and date_matches

    def _check_patient(self, otp: Otp, now: int) -> tuple[Otp, int]:
        """Compare the patient with the PACS; return the code with its patient, and the time of the comparison or 0.

        If the PACS does not answer or has no such exam, the code is redeemed all the same: its token gives no access
        before the comparison (`dicom_service.exams.patient_scope`).
        """
        try:
            pacs = self._connect()
            with pacs.shared_deadline(_SHARE):
                patient = self._guard.ask(pacs, otp.otp_id, otp.study_uid, otp.patient)
        except (PacsError, NotFound):
            return otp, 0
        return replace(otp, patient=patient), now

    def _use(self, otp: Otp, tag: str, redemption: Redemption, compared_at: int) -> Redemption | None:
        """Count the use, or find the earlier use of this nonce, whose response was lost."""
        earlier = otp.redemptions.get(tag)
        if earlier is None:
            begin_change()
            redeemed = event("OTP Redeemed", otp, uses=otp.uses + 1)
            rejection = self._store.use(otp, tag, redemption, redeemed, compared_at)
            if rejection is None:
                return redemption
            earlier = rejection.otp.redemptions.get(tag) if rejection.otp else None
        if earlier is None:
            return None
        self._store.refund_attempt(otp.otp_id, tag)
        return earlier if earlier.token_expires_at > redemption.at else None

    def _token(self, otp: Otp, nonce: str) -> str:
        master = self._keyring.find(otp.key_id)
        if master is None:
            raise Unauthorized(REJECTED, code="OTP_REJECTED")
        return codes.access_token(master, otp.otp_id, nonce)

    def _lock_if_exhausted(self, otp: Otp | None, actor: Actor, *, charged: bool, now: int) -> None:
        """Lock a code after its last attempt, or if functions that died have used up its attempts."""
        if otp is None or otp.state != "ACTIVE" or otp.attempts < MAX_ATTEMPTS:
            return
        abandoned = now - (otp.last_attempt_at or now) > _ABANDONED
        if not charged and (not abandoned or otp.uses >= otp.max_uses):
            return
        if self._store.lock(otp.otp_id, event("OTP Locked", otp)) is None:
            write_audit_line("locked", actor, otp_id=otp.otp_id, study_uid=otp.study_uid)

    def _state(self, otp: Otp | None, now: int) -> str:
        return otp.state_at(now).lower() if otp else "unknown"

    def _rejected(self, otp_id: str, otp: Otp | None, actor: Actor, reason: str) -> Unauthorized:
        metrics.count("CodesRejected")
        if self._guesses:
            self._guesses.count(actor.address)
        write_audit_line("rejected", actor, otp_id=otp_id, study_uid=otp.study_uid if otp else None, reason=reason)
        return Unauthorized(REJECTED, code="OTP_REJECTED")
