"""Audit lines of the log: who did what to which exam, coded as DICOM audit messages (PS3.15 A.5, PS3.16 CID 400, 403).

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

Lines go to the log of the function, and from there to a log group of their own (`copy_lines`) that is kept for longer.
Their ``level`` is always FATAL: Lambda drops what is below the function's log level, and knows no higher one.

A line names the exam by a hash and the code by its reference, the hash of its otpId. It never holds the code, the
token, the patient or the issuer's ``user``.
"""

import ipaddress
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

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

# AuditFilter of the template picks the lines by this name.
SERVICE = "dicom-service-audit"
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


def network_of(address: str) -> str | None:
    """Return the network of an address, 24 bits of IPv4 and 48 of IPv6; None for what is no address.

    It tells the issuer a clinic from a mobile network, and not one household from another.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return None
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def write_audit_line(
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
    _write(f"one-time password {event}", line)


def _write(message: str, line: Mapping[str, Any]) -> None:
    whole = {
        "level": "FATAL",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "service": SERVICE,
        "message": message,
        "requestId": _service_logger.get_current_keys().get("requestId"),
        "audit": line,
    }
    write_line(json.dumps(whole))


def copy_lines(event: dict[str, Any]) -> int:
    """Write the audit lines that CloudWatch Logs picked from the functions' log; return their number.

    Parameters
    ----------
    event
        A batch of a subscription: JSON, compressed and in base64.
    """
    from aws_lambda_powertools.utilities.data_classes import CloudWatchLogsEvent

    lines = CloudWatchLogsEvent(event).parse_logs_data().log_events
    for line in lines:
        write_line(line.message)
    return len(lines)


def write_line(line: str) -> None:
    """Write a line as it is: not by a logger, whose settings could drop it, and which takes longer than the rest."""
    # At once with the end of the line, so that no other thread's comes in between.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _dcm(code: tuple[str, str]) -> dict[str, str]:
    return {"csd-code": code[0], "codeSystemName": "DCM", "originalText": code[1]}
