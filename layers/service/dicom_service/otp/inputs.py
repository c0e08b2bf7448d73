"""Reads and checks requests; all errors are reported together."""

import re
from dataclasses import dataclass

from aws_lambda_powertools.event_handler import APIGatewayRestResolver

from dicom_service.edge import json_body
from dicom_service.errors import BadRequest, Forbidden
from dicom_service.fields import Body
from dicom_service.otp.audit_log import Actor
from dicom_service.otp.model import ROLES
from dicom_service.otp.requests import IssueRequest, RedeemRequest
from dicom_service.query import Query

LONGEST_BODY = 16_000
MOST_USES = 100
_MONTH = 30 * 86_400
# The same key for the same code returns the same access token, so it must be random: 128 bits are 22 characters of
# base 64, 32 or 36 of a UUID. A text that repeats a few characters is not random.
_NONCE = re.compile(r"[!-~]{22,128}")
_FEWEST_CHARACTERS = 6


def issue_request(app: APIGatewayRestResolver) -> IssueRequest:
    """Read the body of ``POST /otps``."""
    known = (
        "studyUID",
        "patientID",
        "user",
        "role",
        "expiresIn",
        "maxUses",
        "requireBirthDate",
        "download",
        "showAccesses",
    )
    body = Body(json_body(app, LONGEST_BODY), *known)
    request = IssueRequest(
        study_uid=body.uid("studyUID", required=True),
        patient_id=body.text("patientID"),
        user=body.text("user", longest=324),
        role=body.choice("role", ROLES),
        expires_in=body.integer("expiresIn", default=600, minimum=60, maximum=_MONTH),
        max_uses=body.integer("maxUses", default=1, minimum=1, maximum=MOST_USES),
        require_birth_date=body.flag("requireBirthDate"),
        download=body.flag("download", default=True),
        show_accesses=body.flag("showAccesses"),
    )
    if request.role == "diagnostic" and request.download is False:
        # A viewer fetches the files it shows, so the restriction could not be enforced.
        body.fail("download", "must be true for the role diagnostic, which reads the files")
    body.check()
    return request


@dataclass(frozen=True)
class Subject:
    """A study or a patient whose codes are meant."""

    study_uid: str | None
    patient_id: str | None


def subject(app: APIGatewayRestResolver) -> Subject:
    """Read the query of ``DELETE /otps``: a study or a patient, exactly one of them."""
    return read_subject(Query(app, "studyUID", "patientID"))


def read_subject(query: Query) -> Subject:
    """Read a study or a patient, exactly one of them.

    Raises
    ------
    BadRequest
        There is neither, both, an empty one, or another parameter: a slip must not revoke the codes of others.
    """
    study_uid, patient_id = query.uid("studyUID"), query.text("patientID", longest=64)
    query.check()
    if (study_uid is None) == (patient_id is None):
        problem = [{"field": "studyUID", "problem": "exactly one of studyUID and patientID is required, not empty"}]
        raise BadRequest("Exactly one of studyUID and patientID is required.", code="INVALID_PARAMETER", errors=problem)
    return Subject(study_uid, patient_id)


def token_request(app: APIGatewayRestResolver) -> IssueRequest:
    """Read the query of the reference's ``GET /token``."""
    query = Query(app, "studyUID", "patientID", "user", "role")
    study_uid = query.uid("studyUID", required=True)
    patient_id = query.exact("patientID")
    user = query.text("user")
    role = query.choice("role", ROLES, default=ROLES[0])
    query.check()
    return IssueRequest(study_uid=study_uid, patient_id=patient_id, user=user, role=role)


def redeem_request(app: APIGatewayRestResolver) -> RedeemRequest:
    """Read the body of ``POST /otps/redeem`` and the header ``Idempotency-Key``."""
    body = Body(json_body(app, LONGEST_BODY), "token", "otpId", "otp", "birthDate")
    token = body.text("token", longest=200) or ""
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


def signed_in(app: APIGatewayRestResolver) -> str:
    """Return the hash of the exam access token that a request carries.

    Raises
    ------
    Forbidden
        It carries another credential.
    """
    context = app.current_event.raw_event.get("requestContext", {}).get("authorizer") or {}
    if context.get("role") != "exam" or not context.get("tokenHash"):
        raise Forbidden("Only an exam access token can be ended here.")
    return str(context["tokenHash"])


def actor(app: APIGatewayRestResolver) -> Actor:
    """Return the caller, as identified by the authorizer and the gateway."""
    context = app.current_event.raw_event.get("requestContext", {})
    name = (context.get("authorizer") or {}).get("principal") or "unnamed"
    return Actor(str(name), address(app))


def address(app: APIGatewayRestResolver) -> str:
    """Return the caller's network address, as reported by the gateway."""
    identity = app.current_event.raw_event.get("requestContext", {}).get("identity") or {}
    return str(identity.get("sourceIp") or "")


def _header(app: APIGatewayRestResolver, name: str) -> str:
    headers = app.current_event.raw_event.get("headers") or {}
    return next((value for key, value in headers.items() if key.lower() == name), "")
