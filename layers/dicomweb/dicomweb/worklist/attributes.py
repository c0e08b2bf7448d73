"""The attributes of a workitem: tag, value representation and where each one lives.

The callers' flat fields are keyed by DICOM keyword. In a Modality Worklist dataset (PS3.4 K.6.1.2.2)
some of them live inside Scheduled Procedure Step Sequence (0040,0100), the others at the top.
"""

from __future__ import annotations

from dataclasses import dataclass

STEP_SEQUENCE = "00400100"
"""Scheduled Procedure Step Sequence."""

STATE_TAG = "00741000"
"""Procedure Step State, the state of PS3.4 CC.1.1."""

STEP_STATUS_TAG = "00400020"
"""Scheduled Procedure Step Status, the state in a Modality Worklist (PS3.3 C.4.10)."""


@dataclass(frozen=True)
class Attribute:
    """One field of a workitem, as PS3.6 defines it.

    Parameters
    ----------
    keyword
        DICOM keyword, the name of the field.
    tag
        Eight hexadecimal digits, as DICOM JSON writes them.
    vr
        Value representation (PS3.5 §6.2).
    in_step
        True when it lives inside Scheduled Procedure Step Sequence.
    required
        True when a workitem cannot be created without it.
    multiple
        True when it may hold more than one value, joined by a backslash.
    values
        The only values allowed, where the standard enumerates them.
    """

    keyword: str
    tag: str
    vr: str
    in_step: bool = False
    required: bool = False
    multiple: bool = False
    values: tuple[str, ...] = ()


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("AccessionNumber", "00080050", "SH", required=True),
    Attribute("ReferringPhysicianName", "00080090", "PN"),
    Attribute("PatientName", "00100010", "PN", required=True),
    Attribute("PatientID", "00100020", "LO", required=True),
    Attribute("PatientBirthDate", "00100030", "DA"),
    Attribute("PatientSex", "00100040", "CS", values=("M", "F", "O")),
    Attribute("MedicalAlerts", "00102000", "LO", multiple=True),
    Attribute("PregnancyStatus", "001021C0", "US", values=("1", "2", "3", "4")),
    Attribute("StudyInstanceUID", "0020000D", "UI"),
    Attribute("RequestingPhysician", "00321032", "PN"),
    Attribute("RequestedProcedureDescription", "00321060", "LO"),
    Attribute("AdmissionID", "00380010", "LO"),
    Attribute("ServiceEpisodeID", "00380060", "LO"),
    Attribute("CurrentPatientLocation", "00380300", "LO"),
    Attribute("PatientState", "00380500", "LO"),
    Attribute("RequestedProcedureID", "00401001", "SH"),
    Attribute("PlacerOrderNumberImagingServiceRequest", "00402016", "LO"),
    Attribute("ConfidentialityConstraintOnPatientDataDescription", "00403001", "LO"),
    Attribute("Modality", "00080060", "CS", in_step=True, required=True),
    Attribute("ScheduledStationAETitle", "00400001", "AE", in_step=True, required=True),
    Attribute("ScheduledProcedureStepStartDate", "00400002", "DA", in_step=True, required=True),
    Attribute("ScheduledProcedureStepStartTime", "00400003", "TM", in_step=True, required=True),
    Attribute("ScheduledPerformingPhysicianName", "00400006", "PN", in_step=True),
    Attribute("ScheduledProcedureStepDescription", "00400007", "LO", in_step=True, required=True),
    Attribute("ScheduledProcedureStepID", "00400009", "SH", in_step=True),
    Attribute("ScheduledStationName", "00400010", "SH", in_step=True),
)

BY_KEYWORD: dict[str, Attribute] = {each.keyword: each for each in ATTRIBUTES}

ALIASES: dict[str, str] = {"ScheduledPerformingPhysiciansName": "ScheduledPerformingPhysicianName"}
"""Names that callers use beside the DICOM keyword."""

ALL_FIELDS: frozenset[str] = frozenset(BY_KEYWORD)
