"""Redeeming: a code for an access token, exactly once per use, and one same refusal for everything else."""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dicom_service.errors import NotFound, PacsError, Unauthorized
from dicom_service.otp import codes
from dicom_service.otp.audit import Actor, audit
from dicom_service.otp.events import event
from dicom_service.otp.guard import ExamGuard, ExamSuspended
from dicom_service.otp.keyring import Keyring
from dicom_service.otp.model import MAX_ATTEMPTS, Otp, Redemption
from dicom_service.otp.store import OtpStore, Refusal

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

# Longer than a function lives: attempts charged this long ago and not given back are misses or lost functions.
_ABANDONED = 60
# Of the time that a request may ask the PACS: a slow one must not make people wait for their token.
_SHARE = 0.2


@dataclass(frozen=True)
class RedeemRequest:
    """What somebody hands in.

    Parameters
    ----------
    birth_date
        PatientBirthDate as DA (``YYYYMMDD``), where the code needs it.
    nonce
        The caller's Idempotency-Key: who sends the same one again gets the same token again.
    """

    otp_id: str
    code: str
    birth_date: str | None = None
    nonce: str | None = None


class Redeemer:
    """Redeems one-time passwords.

    Parameters
    ----------
    guard
        Compares the patient of the code with the PACS's.
    connect
        Gives the PACS; called for the first code that is right.
    token_lifetime
        Seconds that an access token lives.
    matches
        Compares in constant time; tests count the comparisons.
    clock
        Seconds since the epoch.
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
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._guard = guard
        self._connect = connect
        self._token_lifetime = token_lifetime
        self._matches = matches
        self._clock = clock

    def redeem(self, request: RedeemRequest, address: str = "") -> dict[str, Any]:
        """Redeem a code: one search and two writes when it is right, one when it is not (the fifth miss: two).

        Raises
        ------
        Unauthorized
            ``OTP_REJECTED``, the same for wrong, unknown, used, expired, locked and revoked.
        Unavailable
            The tables do not answer; the same request with the same nonce may be sent again.
        """
        now = int(self._clock())
        otp_id = codes.read_id(request.otp_id)
        nonce = request.nonce or secrets.token_urlsafe(32)
        tag = codes.nonce_tag(otp_id, nonce)
        actor = Actor(f"bearer of {codes.reference(otp_id)}", address)
        outcome = self._store.charge(otp_id, tag, now)
        charged = None if isinstance(outcome, Refusal) else outcome
        otp = outcome.otp if isinstance(outcome, Refusal) else outcome
        right = self._is_right(otp, request, charged=charged is not None)
        if charged is None or not right:
            self._miss(otp, actor, charged=charged is not None, now=now)
            raise self._rejected(otp_id, otp, actor, "wrong" if charged else self._state(otp, now))
        try:
            charged, compared_at = self._compared(charged, now)
        except ExamSuspended:
            raise self._rejected(otp_id, charged, actor, "not, or not only, this patient's exam") from None
        redemption = self._use(charged, nonce, tag, now, compared_at)
        if redemption is None:
            raise self._rejected(otp_id, charged, actor, "used, or withdrawn, meanwhile")
        audit("redeemed", actor, otp_id=otp_id, study_uid=charged.study_uid)
        return {
            "accessToken": self._token(charged, nonce),
            "tokenType": "Bearer",
            "expiresIn": redemption.token_expires_at - now,
            "studyUID": charged.study_uid,
            "role": charged.role,
            "download": charged.download,
        }

    def _is_right(self, otp: Otp | None, request: RedeemRequest, *, charged: bool) -> bool:
        """Compare code and birth date; the same work is done for a code that cannot be redeemed or does not exist.

        Only a charged attempt may learn anything: without one, what is compared is the code of no otpId, and the answer
        counts for nothing.
        """
        key_id, master = self._keyring.current()
        if otp is not None and otp.key_id != key_id:
            # No key any more: nothing can be right, and the work below stays the same.
            master = self._keyring.find(otp.key_id) or secrets.token_bytes(32)
        otp_id = otp.otp_id if otp is not None and charged else codes.UNKNOWN_ID
        expected = codes.code(master, otp_id, otp.form if otp else "digits")
        right_code = self._matches(expected.encode(), codes.normalise(request.code).encode())
        birth_date = codes.birth_date_tag(master, otp_id, request.birth_date or "")
        needed = otp.birth_date_tag if otp is not None else None
        right_date = self._matches((needed or birth_date).encode(), birth_date.encode())
        return right_code and right_date

    def _compared(self, otp: Otp, now: int) -> tuple[Otp, int]:
        """Ask the PACS whose the exam is; give the code with its patient, and when it was compared.

        A PACS that does not answer, or has no such exam, keeps nobody from redeeming: the token shows nothing before
        it was compared (`dicom_service.exams.exam_scope`).
        """
        try:
            pacs = self._connect()
            with pacs.shared_deadline(_SHARE):
                patient = self._guard.ask(pacs, otp.otp_id, otp.study_uid, otp.patient)
        except (PacsError, NotFound):
            return otp, 0
        return replace(otp, patient=patient), now

    def _use(self, otp: Otp, nonce: str, tag: str, now: int, compared_at: int) -> Redemption | None:
        """Count the use, or find that this nonce has used the code already: its reply was lost."""
        earlier = otp.redemptions.get(tag)
        if earlier is None:
            token_hash = codes.token_hash(self._token(otp, nonce))
            redemption = Redemption(now, token_hash, now + self._token_lifetime)
            redeemed = event("OTP Redeemed", otp, uses=otp.uses + 1)
            refusal = self._store.use(otp, tag, redemption, redeemed, compared_at)
            if refusal is None:
                return redemption
            earlier = refusal.otp.redemptions.get(tag) if refusal.otp else None
        if earlier is None:
            return None
        self._store.give_back(otp.otp_id, tag)
        return earlier if earlier.token_expires_at > now else None

    def _token(self, otp: Otp, nonce: str) -> str:
        master = self._keyring.find(otp.key_id)
        if master is None:
            raise Unauthorized(REJECTED, code="OTP_REJECTED")
        return codes.access_token(master, otp.otp_id, nonce)

    def _miss(self, otp: Otp | None, actor: Actor, *, charged: bool, now: int) -> None:
        """Lock a code whose last attempt this was, or whose attempts were all spent by functions that died."""
        if otp is None or otp.state != "ACTIVE" or otp.attempts < MAX_ATTEMPTS:
            return
        abandoned = now - (otp.last_attempt_at or now) > _ABANDONED
        if not charged and (not abandoned or otp.uses >= otp.max_uses):
            return
        if self._store.lock(otp.otp_id, event("OTP Locked", otp)) is None:
            audit("locked", actor, otp_id=otp.otp_id, study_uid=otp.study_uid)

    def _state(self, otp: Otp | None, now: int) -> str:
        return otp.state_at(now).lower() if otp else "unknown"

    def _rejected(self, otp_id: str, otp: Otp | None, actor: Actor, reason: str) -> Unauthorized:
        audit("rejected", actor, otp_id=otp_id, study_uid=otp.study_uid if otp else None, reason=reason)
        return Unauthorized(REJECTED, code="OTP_REJECTED")


REJECTED = "The one-time password is not accepted."
