"""Restricts exam access tokens that were issued without ``download`` to pictures and reports (docs/otp.md)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dicom_service.auth.route_scope import may_download
from dicom_service.errors import Forbidden
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.report import PDF_CLASS, SR_CLASSES
from dicom_service.pacs_errors import pacs_errors

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

_SOP_CLASS = "00080016"
_CDA_CLASS = "1.2.840.10008.5.1.4.1.1.104.2"
# Encapsulated PDF and CDA, and the Structured Reports (PS3.4 annex B): there is no picture of them, and a patient who
# may see the exam may read what was written about it.
_REPORTS = (PDF_CLASS, _CDA_CLASS, SR_CLASSES)
_NOT_ALLOWED = "This credential opens pictures and reports, not the files of the exam."


def check_download(event: Mapping[str, Any], client: "DicomwebClient", name: InstanceName) -> None:
    """Reject a request for a file that the exam access token does not open.

    For a token without ``download`` the PACS is searched for whether the instance is a report.

    Parameters
    ----------
    event
        The REST API's proxy event.

    Raises
    ------
    Forbidden
        ``DOWNLOAD_NOT_ALLOWED``: the token opens pictures and reports alone. Also for an instance that does not exist.
    PacsError
        The PACS cannot be asked.
    """
    if may_download(event) or _is_report(client, name):
        return
    raise Forbidden(_NOT_ALLOWED, code="DOWNLOAD_NOT_ALLOWED")


def check_whole_exam(event: Mapping[str, Any]) -> None:
    """Reject a request for all files of an exam that the exam access token does not open.

    Raises
    ------
    Forbidden
        ``DOWNLOAD_NOT_ALLOWED``.
    """
    if not may_download(event):
        raise Forbidden(_NOT_ALLOWED, code="DOWNLOAD_NOT_ALLOWED")


def _is_report(client: "DicomwebClient", name: InstanceName) -> bool:
    with pacs_errors():
        found = client.search_for_instances(
            name.study_uid, name.series_uid, {"SOPInstanceUID": name.instance_uid}, limit=2
        )
    # Every row: a PACS that has the UID twice must not make an image pass for a report.
    classes = [str((row.get(_SOP_CLASS, {}).get("Value") or [""])[0]) for row in found.datasets]
    return bool(classes) and all(sop_class.startswith(_REPORTS) for sop_class in classes)
