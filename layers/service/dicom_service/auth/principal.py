"""Authenticated callers and the routes they may use (api.md, "Authentication").

=============  =================================================================
role           reaches
=============  =================================================================
``service``    every route but the PACS callback and the audit of everything
``reader``     GET routes that change nothing and issue no access; nothing below ``/otps``, nor the audit of everything
``auditor``    GET ``/audit`` and who saw an exam, nothing else
``callback``   ``POST /new-exam-callback`` and nothing else
``exam``       GET under ``/exams/studies/{studyUID}`` of the one study it names, but not what the PACS reported of it,
               and who else saw it only where its issuer allowed that; with the exam role ``diagnostic`` also GET under
               ``/dicomweb``, where its study is all that there is; ``DELETE /access-token``, which ends it; POST of its
               archive
``suspended``  nothing: an exam token whose exam the PACS no longer gives to its patient
``none``       nothing: an account of the issuer to which nothing gives a role
=============
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CALLBACK_ROUTE = "/new-exam-callback"
STUDY_ROUTE = "/exams/studies/{studyUID}"
# The PACS's callbacks name people and stations: for staff, not for recipients of a shared exam.
CALLBACKS_ROUTE = STUDY_ROUTE + "/callbacks"
# Ends the token that asks for it: other credentials are ended where they were made.
ACCESS_TOKEN_ROUTE = "/access-token"  # noqa: S105
# Who saw the exam names people, too: for recipients only where the issuer allowed it.
ACCESSES_ROUTE = STUDY_ROUTE + "/accesses"
# Who uses the service must not be the one who watches it.
AUDIT_ROUTE = "/audit"
# Asking for it changes nothing that others see.
ARCHIVE_ROUTE = STUDY_ROUTE + "/archive"
# GET routes with side effects: not for readers.
SIDE_EFFECT_ROUTES = frozenset({"/token", "/uid"})
# One-time passwords are visible to their issuers only: an otpId is enough to lock a code.
OTP_ROUTES = "/otps"
# The DICOMweb services for viewers. Viewers search for prior studies and take a 403 for a failure: a bearer that may
# view may ask there for any study, and the functions answer as if there were only its own.
DICOMWEB_ROUTES = "/dicomweb/"
DIAGNOSTIC = "diagnostic"
ROLES = ("service", "reader", "auditor", "callback", "exam")


@dataclass(frozen=True)
class Principal:
    """An authenticated caller.

    Parameters
    ----------
    name
        Name in the audit trail.
    role
        One of `ROLES`.
    study_uid
        The one study an ``exam`` credential opens.
    context
        Further values for the functions, text only (API Gateway passes on nothing else).
    """

    name: str
    role: str
    study_uid: str | None = None
    context: Mapping[str, str] = field(default_factory=dict)

    def reaches(self, method: str, resource: str, path_parameters: Mapping[str, str]) -> bool:
        """Return whether this caller may use a route.

        Decided by the route the gateway has matched and its parameters, never by the text of the path, so that no
        encoding of a path says one thing here and another there.

        Parameters
        ----------
        method
            HTTP method.
        resource
            The route's template, such as ``/exams/studies/{studyUID}/series``.
        path_parameters
            Values of the template's parameters, as the function will see them.
        """
        if self.role == "callback":
            return (method, resource) == ("POST", CALLBACK_ROUTE)
        if resource == CALLBACK_ROUTE:
            return False
        if self.role == "auditor":
            return method == "GET" and resource in (AUDIT_ROUTE, ACCESSES_ROUTE)
        if resource in (AUDIT_ROUTE, ACCESS_TOKEN_ROUTE):
            return (method, resource, self.role) == ("DELETE", ACCESS_TOKEN_ROUTE, "exam")
        if self.role == "service":
            return True
        if method != "GET" and not (self.role == "exam" and (method, resource) == ("POST", ARCHIVE_ROUTE)):
            return False
        if self.role == "reader":
            return resource not in SIDE_EFFECT_ROUTES and not resource.startswith(OTP_ROUTES)
        return bool(self.role == "exam" and self.study_uid) and self._exam_reaches(resource, path_parameters)

    def _exam_reaches(self, resource: str, path_parameters: Mapping[str, str]) -> bool:
        if resource == CALLBACKS_ROUTE or resource.startswith(CALLBACKS_ROUTE + "/"):
            return False
        if resource == ACCESSES_ROUTE or resource.startswith(ACCESSES_ROUTE + "/"):
            allowed = resource == ACCESSES_ROUTE and self.context.get("showAccesses") == "true"
            return allowed and path_parameters.get("studyUID") == self.study_uid
        if resource.startswith(DICOMWEB_ROUTES):
            return self.context.get("examRole") == DIAGNOSTIC
        in_study = resource == STUDY_ROUTE or resource.startswith(STUDY_ROUTE + "/")
        return in_study and path_parameters.get("studyUID") == self.study_uid

    def policy(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the authorizer's answer for one request: a policy for this very method and path.

        Parameters
        ----------
        event
            The REQUEST authorizer event of API Gateway.
        """
        allowed = self.reaches(event["httpMethod"], event["resource"], event.get("pathParameters") or {})
        statement = {
            "Action": "execute-api:Invoke",
            "Effect": "Allow" if allowed else "Deny",
            "Resource": event["methodArn"],
        }
        context = {"principal": self.name, "role": self.role, **self.context}
        if self.study_uid:
            context["studyUID"] = self.study_uid
        return {
            "principalId": self.name,
            "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
            "context": context,
        }


def organisation(entry: Mapping[str, Any], name: str = "organisation") -> dict[str, str]:
    """Return the context that names the caller's organisation to the audit, empty where it is not known."""
    value = entry.get(name)
    return {"organisation": value[:128]} if isinstance(value, str) and value else {}
