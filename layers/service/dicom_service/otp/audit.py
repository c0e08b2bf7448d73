"""Audit lines: who did what to which exam, coded as in DICOM's audit messages (PS3.15 A.5, PS3.16 CID 400, 403).

==========  ============================  ==========================================  =======
event       EventID                       EventTypeCode                               outcome
==========  ============================  ==========================================  =======
issued      110113 Security Alert         110137 User Security Attributes Changed     0
redeemed    110114 User Authentication    110122 Login                                0
rejected    110114 User Authentication    110122 Login                                4
locked      110113 Security Alert         110132 Use of Restricted Function           4
revoked     110113 Security Alert         110137 User Security Attributes Changed     0
suspended   110113 Security Alert         110137 User Security Attributes Changed     4
resumed     110113 Security Alert         110137 User Security Attributes Changed     0
==========  ============================  ==========================================  =======

A line names the exam by a hash and the code by its reference, the hash of its otpId. It never holds the code, the
token, the patient or the issuer's ``user``.
"""

from dataclasses import dataclass
from typing import Any, Literal

from aws_lambda_powertools import Logger

from dicom_service import log
from dicom_service.otp import codes

AuditEvent = Literal["issued", "redeemed", "rejected", "locked", "revoked", "suspended", "resumed"]

_ALERT = ("110113", "Security Alert")
_AUTHENTICATION = ("110114", "User Authentication")
_CHANGED = ("110137", "User Security Attributes Changed")
_LOGIN = ("110122", "Login")
_RESTRICTED = ("110132", "Use of Restricted Function")

# EventID, EventTypeCode, EventOutcomeIndicator (PS3.15 A.5.3.11, A.5.3.12).
_CODES: dict[AuditEvent, tuple[tuple[str, str], tuple[str, str], int]] = {
    "issued": (_ALERT, _CHANGED, 0),
    "redeemed": (_AUTHENTICATION, _LOGIN, 0),
    "rejected": (_AUTHENTICATION, _LOGIN, 4),
    "locked": (_ALERT, _RESTRICTED, 4),
    "revoked": (_ALERT, _CHANGED, 0),
    "suspended": (_ALERT, _CHANGED, 4),
    "resumed": (_ALERT, _CHANGED, 0),
}

# A separate logger with its own level: raising the level of the log must not silence the audit trail.
logger = Logger(service="dicom-service-audit", level="INFO")
_service_logger = log.get_logger()


@dataclass(frozen=True)
class Actor:
    """The caller, for the audit trail.

    Parameters
    ----------
    name
        Principal of the credential, or ``bearer of <reference>`` when a code is redeemed.
    address
        Network address, as reported by the gateway.
    """

    name: str
    address: str = ""


def audit(
    event: AuditEvent, actor: Actor, *, otp_id: str | None, study_uid: str | None, reason: str | None = None
) -> None:
    """Write one audit line.

    Parameters
    ----------
    otp_id
        None for a token issued by the operator's viewer.
    reason
        Why a redemption was rejected; for the operator only, never returned to the caller.
    """
    event_id, event_type, outcome = _CODES[event]
    line: dict[str, Any] = {
        "EventID": _dcm(event_id),
        "EventTypeCode": _dcm(event_type),
        "EventActionCode": "E",
        "EventOutcomeIndicator": outcome,
        "ActiveParticipant": {"UserID": actor.name, "UserIsRequestor": True, "NetworkAccessPointID": actor.address},
        "ParticipantObject": {
            "otpId": codes.reference(otp_id) if otp_id else None,
            "studyHash": log.hashed(study_uid) if study_uid else None,
        },
    }
    if reason:
        line["EventOutcomeDescription"] = reason
    request_id = _service_logger.get_current_keys().get("requestId")
    logger.info(f"one-time password {event}", extra={"audit": line, "requestId": request_id})


def _dcm(code: tuple[str, str]) -> dict[str, str]:
    return {"csd-code": code[0], "codeSystemName": "DCM", "originalText": code[1]}
