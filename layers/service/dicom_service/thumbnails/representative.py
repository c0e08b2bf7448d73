"""Selects the instance that represents a series or an exam."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dicom_service.errors import NotFound
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.patient_scope import COMPARED_FIELDS, PatientScope
from dicom_service.exams.search import Page, search_instances, search_series
from dicom_service.pacs_errors import pacs_errors
from dicomweb.dataset import text
from dicomweb.errors import NotSupported, RequestRejected

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

# Modalities without images of the patient; selected only if there is no other series (PS3.3 C.7.3.1.1.1).
_NO_IMAGES = frozenset({"SR", "KO", "PR", "DOC", "AU", "ECG", "EPS", "HD", "PLAN", "RTPLAN", "RTSTRUCT", "REG", "FID"})
_MOST_ROWS = 500
# The middle of a longer series is looked for by its number first: listing takes some PACS long.
_FEW = 32


def select_representative_instance_of_study(
    client: "DicomwebClient", study_uid: str, scope: PatientScope
) -> InstanceName:
    """Return the representative instance of the exam's largest series with images."""
    series = search_series(client, study_uid, Page(_MOST_ROWS, 0), scope).datasets
    best = max(series, key=lambda one: (text(one, "00080060") not in _NO_IMAGES, _number(one, "00201209")))
    series_uid, count = text(best, "0020000E"), _number(best, "00201209")
    if count > _FEW and (uid := _numbered(client, study_uid, series_uid, count // 2 + 1, scope)):
        return InstanceName(study_uid, series_uid, uid)
    return select_representative_instance_of_series(client, study_uid, series_uid, scope)


def select_representative_instance_of_series(
    client: "DicomwebClient", study_uid: str, series_uid: str, scope: PatientScope
) -> InstanceName:
    """Return the middle instance of a series by InstanceNumber.

    Raises
    ------
    NotFound
        The PACS does not have the series.
    PacsError
        The PACS cannot be asked.
    """
    first = search_instances(client, study_uid, series_uid, Page(_MOST_ROWS, 0), scope)
    rows: Sequence[Mapping[str, Any]] = first.datasets
    if first.more:
        # Longer than a page: take the middle in the PACS's own order, without listing the whole series.
        rows = _middle_page(client, study_uid, series_uid) or rows
    ordered = sorted(rows, key=lambda one: (_number(one, "00200013"), text(one, "00080018")))
    chosen = text(ordered[len(ordered) // 2], "00080018")
    if not chosen:
        raise NotFound("The PACS does not name the instances of this series.")
    return InstanceName(study_uid, series_uid, chosen)


def _numbered(client: "DicomwebClient", study_uid: str, series_uid: str, number: int, scope: PatientScope) -> str:
    """Return the UID of the one instance with this InstanceNumber; nothing where there is none or more than one."""
    filters = {"InstanceNumber": str(number)}
    with pacs_errors():
        try:
            found = client.search_for_instances(study_uid, series_uid, filters, limit=2, includefields=COMPARED_FIELDS)
        except (NotSupported, RequestRejected):
            return ""
    scope.check_rows(found.datasets)
    uids = [text(row, "00080018") for row in found.datasets if _number(row, "00200013") == number]
    return uids[0] if len(uids) == len(found.datasets) == 1 else ""


def _middle_page(client: "DicomwebClient", study_uid: str, series_uid: str) -> Sequence[Mapping[str, Any]]:
    with pacs_errors():
        found = client.search_for_series(study_uid, {"SeriesInstanceUID": series_uid}, limit=1).datasets
        count = _number(found[0], "00201209") if found else 0
        return client.search_for_instances(study_uid, series_uid, limit=1, offset=count // 2).datasets if count else []


def _number(dataset: Mapping[str, Any], tag: str) -> int:
    number = text(dataset, tag)
    return int(float(number)) if number.replace(".", "", 1).isdigit() else 0
