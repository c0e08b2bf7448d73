"""The worklist of dcm4chee, through its REST service for Modality Worklist items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from dicomweb.errors import NotFound
from dicomweb.uid import check_uid
from dicomweb.worklist.attributes import ALL_FIELDS, BY_KEYWORD, STATE_TAG
from dicomweb.worklist.base import Page, Query, Workitem, WorkitemKey
from dicomweb.worklist.dicom_json import STATUS_OF_STATE, element, from_mwl, to_mwl
from dicomweb.worklist.paging import collect
from dicomweb.worklist.rest import Rest, datasets

_PATIENT = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex")
_NOT_FOUND = 404


class MwlRs:
    """Modality Worklist items at dcm4chee.

    A `POST` there silently replaces an existing item, and is rejected where the patient does not exist:
    the patient is made when it is missing.

    Parameters
    ----------
    rest
        Where the archive is; paths start at its `mwlitems` and `patients` resources.
    """

    # Who the patient is stands in the archive's own patient record, which a workitem does not overwrite.
    supported_fields = ALL_FIELDS - {"StudyInstanceUID", "PatientName", "PatientBirthDate", "PatientSex"}
    keeps_finished = True
    can_delete = True

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def create(self, item: Workitem) -> Workitem:
        """Add an item, and its patient when the archive does not know them."""
        return self._put(item)

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Search items."""
        parameters = _parameters(query)

        def fetch(offset: int, count: int) -> list[Workitem]:
            window = {"limit": count, "offset": offset, "includefield": "all"}
            answer = self._rest.call("GET", "/mwlitems", query=urlencode({**parameters, **window}))
            return [from_mwl(dataset) for dataset in datasets(answer)]

        return collect(fetch, query, limit=limit, cursor=cursor)

    def retrieve(self, key: WorkitemKey) -> Workitem:
        """Return the item of a study."""
        found = self._items_of(key.study_instance_uid)
        if not found:
            raise NotFound("the PACS has no workitem of this study")
        return found[0]

    def update(self, item: Workitem, changes: Mapping[str, str]) -> Workitem:
        """Replace an item; the ID of its step must stay, or there would be two."""
        self.retrieve(item.key)
        return self._put(item.changed(changes))

    def change_state(self, item: Workitem, state: str) -> Workitem:
        """Set the status of the scheduled step."""
        self._rest.call("POST", f"{_path(item)}/status/{STATUS_OF_STATE[state]}")
        return item

    def delete(self, item: Workitem) -> None:
        """Remove an item; harmless when it is gone already."""
        self._rest.call("DELETE", _path(item), also=(_NOT_FOUND,))

    def _items_of(self, study_instance_uid: str) -> list[Workitem]:
        query = urlencode({"StudyInstanceUID": check_uid(study_instance_uid), "includefield": "all"})
        found = [from_mwl(dataset) for dataset in datasets(self._rest.call("GET", "/mwlitems", query=query))]
        return [each for each in found if each.study_instance_uid == study_instance_uid]

    def _put(self, item: Workitem) -> Workitem:
        dataset = to_mwl(item)
        # Not an attribute of this service: kept as sent, it would contradict the status of the step one day.
        del dataset[STATE_TAG]
        answer = self._rest.call("POST", "/mwlitems", payload=dataset, also=(_NOT_FOUND,))
        if answer.status == _NOT_FOUND:
            self._make_patient(item)
            self._rest.call("POST", "/mwlitems", payload=dataset)
        return item

    def _make_patient(self, item: Workitem) -> None:
        attributes = (BY_KEYWORD[keyword] for keyword in _PATIENT)
        dataset: dict[str, Any] = {"00080005": element("CS", "ISO_IR 192")}
        dataset.update({each.tag: element(each.vr, item.fields.get(each.keyword, "")) for each in attributes})
        self._rest.call("POST", "/patients", payload=dataset)


def _path(item: Workitem) -> str:
    step = quote(item.fields["ScheduledProcedureStepID"], safe="")
    return f"/mwlitems/{check_uid(item.study_instance_uid)}/{step}"


def _parameters(query: Query) -> dict[str, str]:
    wanted = {
        "PatientID": query.patient_id,
        "AccessionNumber": query.accession_number,
        "ScheduledProcedureStepSequence.Modality": query.modality,
        "ScheduledProcedureStepSequence.ScheduledStationAETitle": query.station,
        "ScheduledProcedureStepSequence.ScheduledProcedureStepStatus": STATUS_OF_STATE.get(query.state or ""),
    }
    if query.start or query.end:
        days = f"{(query.start or '')[:8]}-{(query.end or '')[:8]}"
        wanted["ScheduledProcedureStepSequence.ScheduledProcedureStepStartDate"] = days
    return {name: value for name, value in wanted.items() if value is not None}
