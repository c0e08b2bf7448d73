"""A workitem in the form of a Unified Procedure Step (PS3.4 Table CC.2.5-3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dicomweb.dataset import Dataset, first_item, text
from dicomweb.worklist.attributes import BY_KEYWORD, STATE_TAG
from dicomweb.worklist.base import SCHEDULED, STATES, Workitem
from dicomweb.worklist.dicom_json import element, sequence

UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
"""Unified Procedure Step - Push SOP Class."""

TRANSACTION_UID = "00081195"
START = "00404005"
LABEL = "00741204"
STATION = "00404025"
STATION_CLASS = "00404026"
REQUEST = "0040A370"
PERFORMED = "00741216"
PROGRESS = "00741002"
CODE_VALUE = "00080100"
MODIFIED_AT_TOP = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "MedicalAlerts",
    "PregnancyStatus",
    "AdmissionID",
)
_IN_REQUEST = (
    "AccessionNumber",
    "RequestingPhysician",
    "RequestedProcedureDescription",
    "RequestedProcedureID",
    "PlacerOrderNumberImagingServiceRequest",
)
_MAPPED = (
    "Modality",
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "ScheduledProcedureStepDescription",
)
SUPPORTED_FIELDS = frozenset((*MODIFIED_AT_TOP, *_IN_REQUEST, *_MAPPED))
"""The fields that a Unified Procedure Step can hold."""

# Type 2 of N-CREATE: present, and empty here.
_EMPTY = {
    "00081080": "LO",
    "00081084": "SQ",
    TRANSACTION_UID: "UI",
    "00101002": "SQ",
    "00380014": "SQ",
    "00380050": "LO",
    "00400400": "LT",
    "00404018": "SQ",
    "00404021": "SQ",
    "00404027": "SQ",
    "00741202": "LO",
    "00741210": "SQ",
    PROGRESS: "SQ",
    PERFORMED: "SQ",
}
_EMPTY_IN_REQUEST = {"00080051": "SQ", "00400026": "SQ", "00321064": "SQ"}


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return one item of a code sequence (PS3.3 Table 8.8-1)."""
    return {
        CODE_VALUE: element("SH", value),
        "00080102": element("SH", scheme),
        "00080104": element("LO", meaning),
    }


def for_create(item: Workitem) -> Dataset:
    """Return the dataset that creates a procedure step, with every attribute of type 1 and 2.

    Station and modality are codes there: the AE title in a private coding scheme, the modality in DCM (CID 29).
    """
    dataset: Dataset = {tag: element(vr) for tag, vr in _EMPTY.items()}
    dataset.update(for_update(item))
    dataset["00080016"] = element("UI", UPS_PUSH)
    dataset["00080018"] = element("UI", item.workitem_uid)
    dataset[STATE_TAG] = element("CS", SCHEDULED)
    return dict(sorted(dataset.items()))


def for_update(item: Workitem) -> Dataset:
    """Return the attributes that an update sets: never the state nor the UIDs (PS3.4 CC.2.6.2)."""
    fields = item.fields
    dataset: Dataset = {"00080005": element("CS", "ISO_IR 192")}
    dataset.update(_elements(fields, MODIFIED_AT_TOP))
    request = {"0020000D": element("UI", item.study_instance_uid), **_elements(fields, _IN_REQUEST)}
    request.update({tag: element(vr) for tag, vr in _EMPTY_IN_REQUEST.items()})
    start = fields["ScheduledProcedureStepStartDate"] + fields["ScheduledProcedureStepStartTime"]
    station, modality = fields["ScheduledStationAETitle"], fields["Modality"]
    dataset.update(
        {
            "0020000D": element("UI", item.study_instance_uid),
            START: element("DT", start),
            STATION: sequence(code(station, "99AET", station)),
            STATION_CLASS: sequence(code(modality, "DCM", modality)),
            "00404041": element("CS", "READY"),
            REQUEST: sequence(dict(sorted(request.items()))),
            "00741200": element("CS", "MEDIUM"),
            LABEL: element("LO", fields["ScheduledProcedureStepDescription"]),
        }
    )
    return dict(sorted(dataset.items()))


def for_completion(item: Workitem, finished_at: str) -> Dataset:
    """Return the attributes required before a step may be completed (PS3.4 CC.2.5-3, "Final State").

    Parameters
    ----------
    finished_at
        `YYYYMMDDHHMMSS`, used as start and end: the service sees the result, not the procedure.
    """
    station = item.fields.get("ScheduledStationAETitle", "UNKNOWN")
    label = item.fields.get("ScheduledProcedureStepDescription", "Imaging procedure")
    performed = {
        "00404019": sequence(code("PERFORMED", "99AET", label)),
        "00404028": sequence(code(station, "99AET", station)),
        "00404033": sequence(),
        "00404050": element("DT", finished_at),
        "00404051": element("DT", finished_at),
    }
    return {PERFORMED: sequence(performed)}


def for_cancellation(canceled_at: str) -> Dataset:
    """Return the attributes required before a step in progress may be canceled (PS3.4 CC.2.5-3, "Final State").

    Parameters
    ----------
    canceled_at
        `YYYYMMDDHHMMSS`.
    """
    progress = {
        "00404052": element("DT", canceled_at),
        "0074100E": sequence(code("110513", "DCM", "Discontinued for unspecified reason")),
    }
    return {PROGRESS: sequence(progress)}


def read(dataset: Mapping[str, Any]) -> Workitem:
    """Read a workitem from a procedure step as a PACS sends it."""
    request = first_item(dataset, REQUEST)
    start = text(dataset, START)
    found = {
        **{keyword: text(dataset, BY_KEYWORD[keyword].tag) for keyword in MODIFIED_AT_TOP},
        **{keyword: text(request, BY_KEYWORD[keyword].tag) for keyword in _IN_REQUEST},
        "Modality": text(first_item(dataset, STATION_CLASS), CODE_VALUE),
        "ScheduledStationAETitle": text(first_item(dataset, STATION), CODE_VALUE),
        "ScheduledProcedureStepStartDate": start[:8],
        "ScheduledProcedureStepStartTime": start[8:],
        "ScheduledProcedureStepDescription": text(dataset, LABEL),
    }
    state = text(dataset, STATE_TAG)
    return Workitem(
        study_instance_uid=text(request, "0020000D") or text(dataset, "0020000D"),
        workitem_uid=text(dataset, "00080018"),
        fields={keyword: value for keyword, value in found.items() if value},
        state=state if state in STATES else SCHEDULED,
    )


def _elements(fields: Mapping[str, str], keywords: tuple[str, ...]) -> Dataset:
    known = (BY_KEYWORD[keyword] for keyword in keywords)
    return {each.tag: element(each.vr, fields.get(each.keyword, ""), multiple=each.multiple) for each in known}
