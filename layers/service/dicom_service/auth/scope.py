"""The second lock on an exam access token: functions check again what the authorizer has checked."""

from collections.abc import Mapping
from typing import Any

from dicom_service.errors import Forbidden

_STUDIES = "/exams/studies/"


def keep_to_exam(event: Mapping[str, Any]) -> None:
    """Refuse a request that an exam access token let in, but that names anything but GET below its own study.

    What the PACS reported of the study (``/callbacks``) is not for exam access tokens either.

    The gateway matches routes by its reading of a path, the functions by theirs; a path that the two read differently
    ends here. Requests with other credentials pass.

    Parameters
    ----------
    event
        The REST API's proxy event; its authorizer context names the study for exam access tokens alone.

    Raises
    ------
    Forbidden
        The request leaves the study.
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
    """Tell whether the caller may fetch files, not only see pictures and reports (``download`` of ``POST /otps``).

    Parameters
    ----------
    event
        The REST API's proxy event; its authorizer context says ``download`` for exam access tokens alone.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    return authorizer.get("role") != "exam" or authorizer.get("download") == "true"
