"""What each route is to the audit, coded as in DICOM's audit messages (PS3.15 A.5, PS3.16 CID 400 and 401).

A route that is missing here answers nobody: `action_of` raises, and a test walks the routes of the template.
"""

from dataclasses import dataclass
from typing import Literal

from dicom_service.errors import SettingsError

Code = tuple[str, str]

_LOG_USED = ("110101", "Audit Log Used")
_ACCESSED = ("110103", "DICOM Instances Accessed")
_TRANSFERRED = ("110104", "DICOM Instances Transferred")
_IMPORT = ("110107", "Import")
_ORDER = ("110109", "Order Record")
_QUERY = ("110112", "Query")
_ALERT = ("110113", "Security Alert")
_AUTHENTICATION = ("110114", "User Authentication")
_LOGIN = ("110122", "Login")
_LOGOUT = ("110123", "Logout")
_ATTRIBUTES = ("110137", "User Security Attributes Changed")


@dataclass(frozen=True)
class Action:
    """What a request does, for the audit.

    Parameters
    ----------
    name
        One word for callers: ``search``, ``picture``, ``download`` …
    event
        EventID (PS3.16 CID 400).
    kind
        EventActionCode (PS3.15 A.5.2): create, read, update, delete, execute.
    event_type
        EventTypeCode (PS3.16 CID 401), where there is one.
    changes
        Whether it changes something: its record is begun before the work, so that a function that is killed leaves it.
    """

    name: str
    event: Code
    kind: Literal["C", "R", "U", "D", "E"]
    event_type: Code | None = None
    changes: bool = False


SEARCH = Action("search", _QUERY, "E")
LIST = Action("list", _QUERY, "E")
PICTURE = Action("picture", _ACCESSED, "R")
FRAME = Action("frame", _ACCESSED, "R")
METADATA = Action("metadata", _ACCESSED, "R")
DOWNLOAD = Action("download", _TRANSFERRED, "R")
ARCHIVE = Action("archive", _TRANSFERRED, "C", changes=True)
ARCHIVE_STATE = Action("archive-state", _ACCESSED, "R")
# No route of its own: `GET …/archive` that gives out the URL of the ZIP.
ARCHIVE_DOWNLOAD = Action("archive-download", _TRANSFERRED, "R")
REPORT = Action("report", _ACCESSED, "R")
STORE = Action("store", _TRANSFERRED, "C", changes=True)
UPLOAD = Action("upload", _IMPORT, "C", changes=True)
# No route: what the files of an upload, or dropped ones, brought to the PACS.
ARRIVAL = Action("arrival", _IMPORT, "C", changes=True)
UPLOAD_STATE = Action("upload-state", _IMPORT, "R")
SHARE = Action("share", _ALERT, "C", _ATTRIBUTES, changes=True)
SHARE_STATE = Action("share-state", _ALERT, "R", _ATTRIBUTES)
REVOKE = Action("revoke", _ALERT, "D", _ATTRIBUTES, changes=True)
RESUME = Action("resume", _ALERT, "U", _ATTRIBUTES, changes=True)
REDEEM = Action("redeem", _AUTHENTICATION, "E", _LOGIN, changes=True)
SIGN_OUT = Action("sign-out", _AUTHENTICATION, "E", _LOGOUT, changes=True)
WORKLIST = Action("worklist", _ORDER, "R")
SCHEDULE = Action("schedule", _ORDER, "C", changes=True)
RESCHEDULE = Action("reschedule", _ORDER, "U", changes=True)
UNSCHEDULE = Action("unschedule", _ORDER, "D", changes=True)
AUDIT = Action("audit", _LOG_USED, "R")

_STUDY = "/exams/studies/{studyUID}"
_SERIES = f"{_STUDY}/series/{{seriesUID}}"
_WADO = "/dicomweb/studies/{studyUID}"
_WADO_SERIES = f"{_WADO}/series/{{seriesUID}}"

# None: nothing of a patient is behind it. Such a route is served by `serve_open`, all others by `serve`.
ROUTES: dict[tuple[str, str], Action | None] = {
    ("GET", "/health"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/docs"): None,
    ("GET", "/share"): None,
    ("GET", "/share/{version}/{file}"): None,
    ("GET", "/viewer"): None,
    ("GET", "/viewer/{path+}"): None,
    ("GET", "/desk"): None,
    ("GET", "/desk/{version}/{file}"): None,
    ("GET", "/me"): None,
    ("GET", "/uid"): None,
    # What the PACS says by itself; whoever then looks at the exam is recorded.
    ("POST", "/new-exam-callback"): None,
    ("POST", "/exams"): STORE,
    ("GET", "/exams/studies"): SEARCH,
    ("GET", _STUDY): LIST,
    ("GET", f"{_STUDY}/series"): LIST,
    ("GET", f"{_SERIES}/instances"): LIST,
    ("GET", f"{_STUDY}/thumbnail"): PICTURE,
    ("GET", f"{_SERIES}/thumbnail"): PICTURE,
    # PICTURE where a picture is asked for
    ("GET", f"{_SERIES}/instance/{{instanceUID}}"): DOWNLOAD,
    ("GET", f"{_SERIES}/instances/{{instanceUID}}"): DOWNLOAD,
    ("GET", f"{_SERIES}/instances/{{instanceUID}}/report"): REPORT,
    ("POST", f"{_STUDY}/archive"): ARCHIVE,
    # ARCHIVE_DOWNLOAD where the ZIP is given out
    ("GET", f"{_STUDY}/archive"): ARCHIVE_STATE,
    ("GET", f"{_STUDY}/callbacks"): REPORT,
    ("POST", "/uploads"): UPLOAD,
    ("POST", "/uploads/{uploadId}/files/{fileId}/complete"): UPLOAD,
    ("GET", "/uploads/{uploadId}"): UPLOAD_STATE,
    ("POST", "/workitems"): SCHEDULE,
    ("GET", "/workitems"): WORKLIST,
    ("GET", "/workitems/{studyInstanceUID}"): WORKLIST,
    ("PATCH", "/workitems/{studyInstanceUID}"): RESCHEDULE,
    ("PUT", "/workitems/{studyInstanceUID}/state"): RESCHEDULE,
    ("DELETE", "/workitems/{studyInstanceUID}"): UNSCHEDULE,
    ("GET", "/token"): SHARE,
    ("POST", "/otps"): SHARE,
    ("POST", "/otps/redeem"): REDEEM,
    ("POST", "/otps/{otpId}/resume"): RESUME,
    ("GET", "/otps"): SHARE_STATE,
    ("GET", "/otps/{otpId}"): SHARE_STATE,
    ("DELETE", "/otps"): REVOKE,
    ("DELETE", "/otps/{otpId}"): REVOKE,
    ("DELETE", "/access-token"): SIGN_OUT,
    ("GET", "/events"): SEARCH,
    ("GET", "/dicomweb/studies"): SEARCH,
    ("GET", f"{_WADO}/series"): LIST,
    ("GET", f"{_WADO}/instances"): LIST,
    ("GET", f"{_WADO_SERIES}/instances"): LIST,
    ("GET", f"{_WADO}/metadata"): METADATA,
    ("GET", f"{_WADO_SERIES}/metadata"): METADATA,
    ("GET", f"{_WADO_SERIES}/instances/{{instanceUID}}/metadata"): METADATA,
    ("GET", f"{_WADO_SERIES}/instances/{{instanceUID}}"): DOWNLOAD,
    ("GET", f"{_WADO_SERIES}/instances/{{instanceUID}}/bulkdata/{{bulkPath}}"): FRAME,
    ("GET", f"{_WADO_SERIES}/instances/{{instanceUID}}/frames/{{frameList}}"): FRAME,
    ("GET", f"{_WADO}/thumbnail"): PICTURE,
    ("GET", f"{_WADO_SERIES}/thumbnail"): PICTURE,
    ("GET", f"{_WADO_SERIES}/instances/{{instanceUID}}/thumbnail"): PICTURE,
    ("GET", f"{_WADO_SERIES}/instances/{{instanceUID}}/rendered"): PICTURE,
    ("GET", f"{_WADO_SERIES}/instances/{{instanceUID}}/frames/{{frameList}}/rendered"): PICTURE,
    ("GET", f"{_STUDY}/accesses"): AUDIT,
    ("GET", "/audit"): AUDIT,
}

ACTIONS = {action.name: action for action in vars().copy().values() if isinstance(action, Action)}


def action_of(method: str, resource: str) -> Action | None:
    """Return what a route is to the audit, None where nothing of a patient is behind it.

    Parameters
    ----------
    resource
        The route's template, such as ``/exams/studies/{studyUID}/series``.

    Raises
    ------
    SettingsError
        The route is not in `ROUTES`.
    """
    try:
        return ROUTES[method, resource]
    except KeyError:
        raise SettingsError("This route has no audit action.") from None
