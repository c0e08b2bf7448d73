"""What callers send, read and checked: everything that is wrong is told at once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from dicom_service.day import read_day
from dicom_service.edge import json_body
from dicom_service.errors import BadRequest
from dicom_service.otp.audit import Actor
from dicom_service.otp.issue import IssueRequest
from dicom_service.otp.model import ROLES
from dicom_service.otp.redeem import RedeemRequest
from dicom_service.query import Query
from dicomweb.uid import is_uid

LONGEST_BODY = 16_000
MOST_USES = 100
_MONTH = 30 * 86_400
# Whoever sends the same key for the same code gets the same access token, so it has to be random: 128 bits are 22
# characters of base 64, 32 or 36 of a UUID. A text that repeats a few characters is none.
_NONCE = re.compile(r"[!-~]{22,128}")
_FEWEST_CHARACTERS = 6


class Body:
    """The fields of a JSON body; readers collect what is wrong, `check` tells all of it."""

    def __init__(self, values: Mapping[str, Any], *known: str) -> None:
        self._values = {name: value for name, value in values.items() if value is not None}
        self.errors = [{"field": name[:64], "problem": "unknown field"} for name in values if name not in known]

    def text(self, name: str, *, required: bool = False, longest: int = 64) -> str:
        """Read a text of printable characters; empty when absent."""
        value = self._values.get(name, "")
        if not isinstance(value, str) or not value.isprintable() or len(value) > longest:
            return self.fail(name, f"not a text of at most {longest} printable characters")
        return self.fail(name, "required") if required and not value.strip() else value.strip()

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """Read one of a few words; the first of them when absent."""
        value = self.text(name) if name in self._values else choices[0]
        return value if value in choices else self.fail(name, "not one of " + ", ".join(choices))

    def integer(self, name: str, *, default: int, minimum: int, maximum: int) -> int:
        """Read a whole number."""
        value = self._values.get(name, default)
        if type(value) is int and minimum <= value <= maximum:
            return value
        self.fail(name, f"not an integer from {minimum} to {maximum}")
        return default

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read true or false."""
        value = self._values.get(name, default)
        if not isinstance(value, bool):
            self.fail(name, "not true or false")
        return value is True

    def uid(self, name: str) -> str:
        """Read a UID (PS3.5 §9.1)."""
        value = self.text(name, required=True)
        return value if not value or is_uid(value) else self.fail(name, "not a UID")

    def date(self, name: str) -> str | None:
        """Read a day, ``YYYYMMDD`` or ``YYYY-MM-DD``, as DA (PS3.5 §6.2)."""
        value = self.text(name)
        return (read_day(value) or self.fail(name, "not a date, YYYYMMDD or YYYY-MM-DD")) if value else None

    def fail(self, name: str, problem: str) -> str:
        """Note that a field is wrong."""
        self.errors.append({"field": name, "problem": problem})
        return ""

    def check(self) -> None:
        """Raise what was found wrong.

        Raises
        ------
        BadRequest
            With member ``errors``: one entry for each bad field.
        """
        if self.errors:
            listed = "; ".join(f"{error['field']}: {error['problem']}" for error in self.errors)
            raise BadRequest(f"Bad fields: {listed}.", code="INVALID_BODY", errors=self.errors)


def issue_request(app: APIGatewayRestResolver) -> IssueRequest:
    """Read the body of ``POST /otps``.

    Raises
    ------
    BadRequest
        Something in it is wrong.
    """
    known = ("studyUID", "patientID", "user", "role", "expiresIn", "maxUses", "requireBirthDate", "download")
    body = Body(json_body(app, LONGEST_BODY), *known)
    request = IssueRequest(
        study_uid=body.uid("studyUID"),
        patient_id=body.text("patientID") or None,
        user=body.text("user", longest=324) or None,
        role=body.choice("role", ROLES),
        expires_in=body.integer("expiresIn", default=600, minimum=60, maximum=_MONTH),
        max_uses=body.integer("maxUses", default=1, minimum=1, maximum=MOST_USES),
        require_birth_date=body.flag("requireBirthDate"),
        download=body.flag("download", default=True),
    )
    if request.role == "diagnostic" and not request.download:
        # A viewer shows what it has fetched: a promise that cannot be kept is not made.
        body.fail("download", "must be true for the role diagnostic, which reads the files")
    body.check()
    return request


@dataclass(frozen=True)
class Subject:
    """Whose codes are meant: those of a study or of a patient."""

    study_uid: str | None
    patient_id: str | None


def subject(app: APIGatewayRestResolver) -> Subject:
    """Read the query of ``DELETE /otps``: a study or a patient, exactly one of them.

    Raises
    ------
    BadRequest
        There is none, both, an empty one, or something else: a slip must not end everybody's.
    """
    return read_subject(Query(app, "studyUID", "patientID"))


def read_subject(query: Query) -> Subject:
    """Read a study or a patient, exactly one of them.

    Raises
    ------
    BadRequest
        As `subject`.
    """
    study_uid, patient_id = query.uid("studyUID"), query.text("patientID", longest=64)
    query.check()
    if (study_uid is None) == (patient_id is None):
        problem = [{"field": "studyUID", "problem": "give exactly one of studyUID and patientID, not empty"}]
        raise BadRequest("Give exactly one of studyUID and patientID.", code="INVALID_PARAMETER", errors=problem)
    return Subject(study_uid, patient_id)


def token_request(app: APIGatewayRestResolver) -> IssueRequest:
    """Read the query of the reference's ``GET /token``.

    Raises
    ------
    BadRequest
        Something in it is wrong.
    """
    query = Query(app, "studyUID", "patientID", "user", "role")
    study_uid = query.uid("studyUID", required=True)
    patient_id = query.exact("patientID")
    user = query.text("user")
    role = query.choice("role", ROLES, default=ROLES[0])
    query.check()
    return IssueRequest(study_uid=study_uid, patient_id=patient_id, user=user, role=role)


def redeem_request(app: APIGatewayRestResolver) -> RedeemRequest:
    """Read the body of ``POST /otps/redeem`` and the header ``Idempotency-Key``.

    Raises
    ------
    BadRequest
        Its form is wrong. A token or code that cannot be one is not an error here: it is refused like a wrong one.
    """
    body = Body(json_body(app, LONGEST_BODY), "token", "otpId", "otp", "birthDate")
    token = body.text("token", longest=200)
    otp_id, _, code = token.partition(".")
    if not token:
        otp_id, code = body.text("otpId", required=True), body.text("otp", required=True)
    elif body.text("otpId") or body.text("otp"):
        body.fail("token", "send token, or otpId and otp")
    request = RedeemRequest(otp_id, code, body.date("birthDate"), _nonce(app, body))
    body.check()
    return request


def _nonce(app: APIGatewayRestResolver, body: Body) -> str | None:
    value = _header(app, "idempotency-key").strip('"')
    if value and not (_NONCE.fullmatch(value) and len(set(value.lower())) >= _FEWEST_CHARACTERS):
        body.fail("Idempotency-Key", "not random: 22 to 128 printable ASCII characters, such as a UUID, new each time")
    return value or None


def actor(app: APIGatewayRestResolver) -> Actor:
    """Give who is calling, as the authorizer and the gateway know it."""
    context = app.current_event.raw_event.get("requestContext", {})
    name = (context.get("authorizer") or {}).get("principal") or "unnamed"
    return Actor(str(name), address(app))


def address(app: APIGatewayRestResolver) -> str:
    """Give the caller's network address, as the gateway saw it."""
    identity = app.current_event.raw_event.get("requestContext", {}).get("identity") or {}
    return str(identity.get("sourceIp") or "")


def _header(app: APIGatewayRestResolver, name: str) -> str:
    headers = app.current_event.raw_event.get("headers") or {}
    return next((value for key, value in headers.items() if key.lower() == name), "")
