"""Issues one-time passwords, after looking up the exam and its patient in the PACS."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dicom_service.audit.notes import note
from dicom_service.aws import Secret
from dicom_service.day import iso
from dicom_service.errors import Conflict
from dicom_service.otp import codes, external_viewer
from dicom_service.otp.audit_log import Actor, write_audit_line
from dicom_service.otp.events import event
from dicom_service.otp.exam import find_exam
from dicom_service.otp.external_viewer import ViewerSettings, ViewerTokens
from dicom_service.otp.keyring import Keyring
from dicom_service.otp.model import MAX_ATTEMPTS, Otp
from dicom_service.otp.requests import IssueRequest
from dicom_service.otp.store import OtpStore
from dicom_service.patient import PatientHasher

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

_DAY = 86_400


class Issuer:
    """Issues one-time passwords.

    Parameters
    ----------
    connect
        Returns the client of the PACS; called when the first exam is looked up.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        store: OtpStore,
        keyring: Keyring,
        hasher: PatientHasher,
        connect: Callable[[], "DicomwebClient"],
        viewer_settings: ViewerSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._keyring = keyring
        self._hasher = hasher
        self._connect = connect
        self._link = viewer_settings.link
        self._viewer = _viewer_tokens(viewer_settings)
        self._clock = clock

    def issue(self, request: IssueRequest, actor: Actor, base_url: str) -> dict[str, Any]:
        """Issue a one-time password: one search in the PACS, one write.

        Parameters
        ----------
        base_url
            Where callers reach this service: the share page is below it.

        Raises
        ------
        NotFound
            The PACS has no such exam.
        Conflict
            The exam is not this patient's, or the birth date is asked for and the PACS has none.
        PacsError
            The PACS does not answer.
        Unavailable
            The table does not take it.
        """
        exam = find_exam(self._connect(), request.study_uid, request.patient_id)
        if request.require_birth_date and exam.birth_date is None:
            raise Conflict("The PACS has no birth date for this exam's patient.", code="NO_BIRTH_DATE")
        note(study_uid=request.study_uid, patient=exam.patient)
        key_id, master = self._keyring.current()
        now = int(self._clock())
        otp = Otp(
            otp_id=codes.new_id(),
            key_id=key_id,
            form=codes.form_for(request.expires_in),
            study_uid=request.study_uid,
            role=request.role,
            issuer=actor.name,
            user=request.user,
            created_at=now,
            expires_at=now + request.expires_in,
            tidy_at=now + request.expires_in + _DAY,
            max_uses=request.max_uses,
            download=request.download,
            show_accesses=request.show_accesses,
            patient=self._hasher.hash(exam.patient),
        )
        if request.require_birth_date and exam.birth_date is not None:
            otp = replace(otp, birth_date_tag=codes.birth_date_tag(master, otp.otp_id, exam.birth_date))
        self._store.create(otp, event("OTP Issued", otp))
        write_audit_line("issued", actor, otp_id=otp.otp_id, study_uid=otp.study_uid)
        return self._answer(otp, codes.code(master, otp.otp_id, otp.form), base_url)

    def token(self, request: IssueRequest, actor: Actor, base_url: str) -> dict[str, str]:
        """Return the response of ``GET /token``: a token of this service, or of the viewer if it issues its own."""
        if self._viewer is None:
            issued = self.issue(request, actor, base_url)
            return {name: issued[name] for name in ("token", "link")}
        find_exam(self._connect(), request.study_uid, request.patient_id)
        parameters = {
            "studyUID": request.study_uid,
            "patientID": request.patient_id,
            "user": request.user,
            "role": request.role,
        }
        token = self._viewer.request_token(parameters)
        write_audit_line("issued", actor, otp_id=None, study_uid=request.study_uid)
        return {"token": token}

    def _answer(self, otp: Otp, code: str, base_url: str) -> dict[str, Any]:
        token = f"{otp.otp_id}.{code}"
        values = {"studyUID": otp.study_uid, "token": token, "role": otp.role}
        return {
            "otpId": otp.otp_id,
            "reference": codes.reference(otp.otp_id),
            "otp": code,
            "token": token,
            "link": external_viewer.link(self._link, values)
            or _share_link(base_url, token, otp.birth_date_tag is not None),
            "expiresAt": iso(otp.expires_at),
            "attemptsLeft": MAX_ATTEMPTS,
        }


def _share_link(base_url: str, token: str, asks_birth_date: bool) -> str:
    """Return the link to the share page; the code is in the fragment, which no server and no log ever gets."""
    return f"{base_url}/share#{token}{'&birthDate' if asks_birth_date else ''}"


def _viewer_tokens(settings: ViewerSettings) -> ViewerTokens | None:
    if settings.token_url is None:
        return None
    secret = Secret(settings.secret_arn) if settings.secret_arn else None
    return ViewerTokens(settings.token_url, dict(settings.parameters), secret)
