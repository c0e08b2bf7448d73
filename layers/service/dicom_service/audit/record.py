"""One record of the audit, and the key under which the repeated reads of a viewer are gathered."""

import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Any

from dicom_service.audit.actions import Action

QUARTER = 900
_DAY = 86_400
# What one household or server is given of IPv6: it can send each request from another address of it.
_SITE = 64


@dataclass(frozen=True)
class Viewer:
    """Who does something, and from where.

    Parameters
    ----------
    who
        Name of the service key, ``oidc:<subject>``, ``otp:<reference of the otpId>``, or ``unknown``.
    role
        Role of the credential, empty for none.
    organisation
        Whom the credential belongs to, where that is known.
    address
        Network address, as reported by the gateway.
    """

    who: str
    role: str = ""
    organisation: str = ""
    address: str = ""


@dataclass(frozen=True)
class Record:
    """What one access leaves: no value of a patient but the keyed hash of the id.

    Parameters
    ----------
    at
        When, with its zone.
    study_uid, patient
        StudyInstanceUID and the patient's hash as in an index (`dicom_service.patient.index_value`); empty if unknown.
    route
        Method and template of the path.
    status
        HTTP status of the answer, 0 while there is none.
    studies
        The exams of a list that shows too many for a record each.
    count
        How often it happened.
    """

    viewer: Viewer
    action: Action
    at: datetime.datetime
    request_id: str
    route: str
    status: int = 0
    study_uid: str = ""
    patient: str = ""
    studies: tuple[str, ...] = ()
    count: int = 1

    @property
    def outcome(self) -> int:
        """EventOutcomeIndicator (PS3.15 A.5.2): success, minor failure, serious failure."""
        return 0 if self.status < 400 else 4 if self.status < 500 else 8

    @property
    def gathered_id(self) -> str:
        """The key that all like it share for a quarter of an hour, from one address, of IPv6 from one /64."""
        viewer, site = self.viewer, _site(self.viewer.address)
        quarter = str(int(self.at.timestamp()) // QUARTER)
        parts = (
            *(quarter, viewer.who, viewer.role, viewer.organisation, site, self.action.name, self.route),
            *(self.study_uid, self.patient, str(self.status), *self.studies),
        )
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]

    def attributes(self, retention_days: int) -> dict[str, Any]:
        """Return the attributes that all gathered records share, without those that are unknown."""
        viewer = self.viewer
        found: dict[str, Any] = {
            "who": viewer.who,
            "role": viewer.role,
            "organisation": viewer.organisation,
            "action": self.action.name,
            "route": self.route,
            "study": self.study_uid,
            "patient": self.patient,
            "studies": " ".join(self.studies),
        }
        found = {name: value for name, value in found.items() if value}
        if self.status:
            found |= {"status": self.status, "outcome": self.outcome}
        started = int(self.at.timestamp()) // QUARTER * QUARTER
        return {**found, "expiresAt": started + retention_days * _DAY}


def _site(address: str) -> str:
    """Return the /64 of an IPv6 address; any other address as it is, also one of IPv4 that is written as IPv6."""
    try:
        found = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), _SITE), strict=False))
