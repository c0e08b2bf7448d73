"""Workitems to DICOM JSON (PS3.18 F) and back, in the form of a Modality Worklist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dicomweb.dataset import NAME_GROUPS, Dataset, first_item, text
from dicomweb.worklist.attributes import ATTRIBUTES, STATE_TAG, STEP_SEQUENCE, STEP_STATUS_TAG, Attribute
from dicomweb.worklist.base import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED, Workitem

STATUS_OF_STATE = {SCHEDULED: SCHEDULED, IN_PROGRESS: "STARTED", COMPLETED: COMPLETED, CANCELED: CANCELED}
"""Scheduled Procedure Step Status for each state; the words that MWL servers use."""

_STATE_OF_STATUS = {
    "SCHEDULED": SCHEDULED,
    "ARRIVED": SCHEDULED,
    "READY": SCHEDULED,
    "STARTED": IN_PROGRESS,
    "DEPARTED": IN_PROGRESS,
    "CANCELED": CANCELED,
    "DISCONTINUED": CANCELED,
    "COMPLETED": COMPLETED,
}


def element(vr: str, value: str = "", *, multiple: bool = False) -> dict[str, Any]:
    """Return one attribute as DICOM JSON; an empty value leaves `Value` out (PS3.18 F.2.5)."""
    if not value:
        return {"vr": vr}
    if vr == "PN":
        groups = zip(NAME_GROUPS, value.split("="), strict=False)
        return {"vr": vr, "Value": [{group: text for group, text in groups if text}]}
    if vr == "US":
        return {"vr": vr, "Value": [int(value)]} if value.isdecimal() else {"vr": vr}
    return {"vr": vr, "Value": value.split("\\") if multiple else [value]}


def sequence(*items: Dataset) -> dict[str, Any]:
    """Return a sequence as DICOM JSON; without items it is present and empty."""
    return {"vr": "SQ", "Value": list(items)} if items else {"vr": "SQ"}


def to_mwl(item: Workitem) -> Dataset:
    """Return a workitem as a Modality Worklist dataset in DICOM JSON (PS3.4 K.6.1.2.2).

    Every attribute of the table is present, those without a value too.
    """
    values = {**item.fields, "StudyInstanceUID": item.study_instance_uid}
    top: Dataset = {"00080005": element("CS", "ISO_IR 192")}
    step: Dataset = {STEP_STATUS_TAG: element("CS", STATUS_OF_STATE[item.state])}
    for attribute in ATTRIBUTES:
        target = step if attribute.in_step else top
        target[attribute.tag] = _element_of(attribute, values.get(attribute.keyword, ""))
    top[STEP_SEQUENCE] = sequence(dict(sorted(step.items())))
    top[STATE_TAG] = element("CS", item.state)
    return dict(sorted(top.items()))


def from_mwl(dataset: Mapping[str, Any]) -> Workitem:
    """Read a workitem from a Modality Worklist dataset in DICOM JSON; its state is the status of the step."""
    step = first_item(dataset, STEP_SEQUENCE)
    fields = dict(_read(dataset, step))
    return Workitem(
        study_instance_uid=fields.pop("StudyInstanceUID", ""),
        workitem_uid="",
        fields=fields,
        state=_STATE_OF_STATUS.get(text(step, STEP_STATUS_TAG), SCHEDULED),
    )


def to_simple(item: Workitem) -> dict[str, Any]:
    """Return a workitem as a flat object keyed by DICOM keyword, fields without a value left out."""
    values = {**item.fields, "StudyInstanceUID": item.study_instance_uid}
    flat: dict[str, Any] = {
        attribute.keyword: _simple(attribute, values[attribute.keyword])
        for attribute in ATTRIBUTES
        if values.get(attribute.keyword)
    }
    return {**flat, "WorkitemUID": item.workitem_uid, "State": item.state}


def _element_of(attribute: Attribute, value: str) -> dict[str, Any]:
    return element(attribute.vr, value, multiple=attribute.multiple)


def _simple(attribute: Attribute, value: str) -> str | int:
    return int(value) if attribute.vr == "US" and value.isdecimal() else value


def _read(dataset: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for attribute in ATTRIBUTES:
        value = text(step if attribute.in_step else dataset, attribute.tag)
        if value:
            yield attribute.keyword, value
