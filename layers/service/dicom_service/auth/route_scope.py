"""Which routes an exam access token reaches, checked again inside the function, behind the authorizer.

Whose exam it may see is `dicom_service.exams.patient_scope`.
"""

from collections.abc import Mapping
from typing import Any

from dicom_service.auth.principal import ACCESS_TOKEN_ROUTE, DIAGNOSTIC, DICOMWEB_ROUTES
from dicom_service.errors import Forbidden, NotFound

_STUDIES = "/exams/studies/"
_NOT_REACHED = "This credential does not reach this resource."


def enforce_route_scope(event: Mapping[str, Any]) -> None:
    """Reject any request of an exam access token except GET below its own study, or of DICOMweb with the role for it.

    A token may also ask for the archive of its study, and end itself. The PACS's callbacks about the study
    (``/callbacks``) are not for it, and who saw it (``/accesses``) only where the issuer allowed that. In DICOMweb,
    another study is one that does not exist: viewers search for prior studies.

    The gateway and the functions parse paths separately; a path that they parse differently is rejected here. Requests
    with other credentials pass.

    Parameters
    ----------
    event
        The REST API's proxy event; its authorizer context names the study for exam access tokens alone.

    Raises
    ------
    Forbidden
        The request is outside the study.
    NotFound
        A request of DICOMweb names another study.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    study_uid, role = authorizer.get("studyUID"), authorizer.get("role")
    if study_uid is None and role != "exam":
        return
    path, parameters = str(event.get("path") or ""), event.get("pathParameters") or {}
    if (event.get("httpMethod"), path) == ("DELETE", ACCESS_TOKEN_ROUTE):
        return
    plain = "//" not in path and "/." not in path
    own = f"{_STUDIES}{study_uid}"
    asked = event.get("httpMethod") == "GET" or (event.get("httpMethod"), path) == ("POST", f"{own}/archive")
    if not study_uid or not plain or not asked:
        raise Forbidden(_NOT_REACHED)
    if path.startswith(DICOMWEB_ROUTES):
        _enforce_dicomweb_scope(authorizer, path, parameters)
        return
    inside = path == own or path.startswith(own + "/")
    for_staff = f"{path}/".startswith(f"{own}/callbacks/") or (
        f"{path}/".startswith(f"{own}/accesses/") and not may_see_accesses(event)
    )
    if not inside or for_staff or "%" in path or parameters.get("studyUID") != study_uid:
        raise Forbidden(_NOT_REACHED)


def _enforce_dicomweb_scope(authorizer: Mapping[str, Any], path: str, parameters: Mapping[str, Any]) -> None:
    if authorizer.get("examRole") != DIAGNOSTIC:
        raise Forbidden(_NOT_REACHED)
    studies = f"{DICOMWEB_ROUTES}studies"
    # A search of all studies names none; what the search may find is limited where it is made.
    named = path.removeprefix(studies + "/").partition("/")[0] if path.startswith(studies + "/") else None
    if {named, parameters.get("studyUID")} - {None, authorizer["studyUID"]}:
        raise NotFound("There is no such study.")


def may_download(event: Mapping[str, Any]) -> bool:
    """Return whether the caller may fetch files, not only see pictures and reports (``download`` of ``POST /otps``).

    Parameters
    ----------
    event
        The REST API's proxy event; its authorizer context says ``download`` for exam access tokens alone.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    return authorizer.get("role") != "exam" or authorizer.get("download") == "true"


def may_see_accesses(event: Mapping[str, Any]) -> bool:
    """Return whether the caller may see who saw the exam (``showAccesses`` of ``POST /otps``); staff may.

    A token whose patient was not compared with the exam's yet sees nothing of the exam, and so not this either.

    Parameters
    ----------
    event
        The REST API's proxy event; its authorizer context says ``showAccesses`` for exam access tokens alone.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    if authorizer.get("role") != "exam":
        return True
    return authorizer.get("showAccesses") == "true" and str(authorizer.get("comparedAt") or "0") != "0"
