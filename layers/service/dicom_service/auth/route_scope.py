"""Which routes an exam access token reaches, checked again inside the function, behind the authorizer.

Whose exam it may see is `dicom_service.exams.patient_scope`.
"""

from collections.abc import Mapping
from typing import Any

from dicom_service.errors import Forbidden

_STUDIES = "/exams/studies/"


def enforce_route_scope(event: Mapping[str, Any]) -> None:
    """Reject any request of an exam access token except GET below its own study.

    The PACS's reports about the study (``/callbacks``) are not for exam access tokens either.

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
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    study_uid, role = authorizer.get("studyUID"), authorizer.get("role")
    if study_uid is None and role != "exam":
        return
    path, parameters = str(event.get("path") or ""), event.get("pathParameters") or {}
    own = f"{_STUDIES}{study_uid}"
    inside = path == own or path.startswith(own + "/")
    reported = path == f"{own}/callbacks" or path.startswith(f"{own}/callbacks/")
    plain = "%" not in path and "//" not in path and "/." not in path
    if not (study_uid and inside and plain and not reported and event.get("httpMethod") == "GET"):
        raise Forbidden("This credential does not reach this resource.")
    if parameters.get("studyUID") != study_uid:
        raise Forbidden("This credential does not reach this resource.")


def may_download(event: Mapping[str, Any]) -> bool:
    """Return whether the caller may fetch files, not only see pictures and reports (``download`` of ``POST /otps``).

    Parameters
    ----------
    event
        The REST API's proxy event; its authorizer context says ``download`` for exam access tokens alone.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    return authorizer.get("role") != "exam" or authorizer.get("download") == "true"
