"""The worklist of Orthanc, through the REST service of its worklists plugin (0.9 and later)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from dicomweb.errors import NotFound, PacsFault
from dicomweb.worklist.attributes import ALL_FIELDS, ATTRIBUTES, STATE_TAG, STEP_SEQUENCE, STEP_STATUS_TAG
from dicomweb.worklist.base import FINAL_STATES, SCHEDULED, STATES, Page, Query, Workitem, WorkitemKey
from dicomweb.worklist.dicom_json import STATUS_OF_STATE
from dicomweb.worklist.rest import Rest

Tags = dict[str, Any]


def _orthanc_tag(tag: str) -> str:
    return f"{tag[:4]},{tag[4:]}".lower()


class Orthanc:
    """Worklist entries that Orthanc shows to the modalities.

    Orthanc assigns each entry an ID, kept in `Workitem.reference`, and filters nothing: every search reads
    the whole list. A step that is completed or canceled is taken off it, so that no modality picks it.

    Parameters
    ----------
    rest
        Where Orthanc is; paths start at its `worklists` resource.
    """

    supported_fields = ALL_FIELDS - {"StudyInstanceUID"}
    keeps_finished = False
    can_delete = True

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def create(self, item: Workitem) -> Workitem:
        """Add an entry and return the workitem with Orthanc's ID."""
        answer = self._rest.call("POST", "/worklists/create", payload={"Tags": _tags(item)}, media_type=_JSON)
        reference = answer.body.get("ID") if isinstance(answer.body, Mapping) else None
        if not isinstance(reference, str):
            raise PacsFault("the PACS did not return the ID of the workitem", status=answer.status)
        return replace(item, reference=reference)

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Read the whole list and filter it here, in order of the scheduled start."""
        found = sorted((each for each in self._list() if query.matches(each)), key=lambda each: each.schedule)
        rest = [each for each in found if cursor is None or each.schedule > cursor]
        page = rest[:limit]
        return Page(page, page[-1].schedule if len(rest) > limit else None)

    def retrieve(self, key: WorkitemKey) -> Workitem:
        """Return an entry by Orthanc's ID, or by its study where only that is known."""
        if key.reference is None:
            for each in self._list():
                if each.study_instance_uid == key.study_instance_uid:
                    return each
            raise NotFound("the PACS has no workitem of this study")
        answer = self._rest.call("GET", _path(key.reference), query="format=Short", media_type=_JSON)
        return _read(answer.body)

    def update(self, item: Workitem, changes: Mapping[str, str]) -> Workitem:
        """Replace an entry."""
        return self._put(item.changed(changes))

    def change_state(self, item: Workitem, state: str) -> Workitem:
        """Write the state into the entry, or take the entry off the list when the state is final."""
        if state in FINAL_STATES:
            self.delete(item)
            return item
        return self._put(replace(item, state=state))

    def delete(self, item: Workitem) -> None:
        """Remove an entry; harmless when it is gone already."""
        reference = item.reference
        if reference is None:
            try:
                reference = self.retrieve(item.key).reference
            except NotFound:
                return
        self._rest.call("DELETE", _path(reference or ""), also=(404,), media_type=_JSON)

    def _put(self, item: Workitem) -> Workitem:
        reference = item.reference or self.retrieve(item.key).reference or ""
        self._rest.call("PUT", _path(reference), payload={"Tags": _tags(item)}, media_type=_JSON)
        return replace(item, reference=reference)

    def _list(self) -> list[Workitem]:
        answer = self._rest.call("GET", "/worklists", query="format=Short", media_type=_JSON)
        if not isinstance(answer.body, list):
            raise PacsFault("the PACS answered a worklist that cannot be read", status=answer.status)
        return [_read(entry) for entry in answer.body]


_JSON = "application/json"


def _path(reference: str) -> str:
    return f"/worklists/{quote(reference, safe='')}"


def _tags(item: Workitem) -> Tags:
    values = {**item.fields, "StudyInstanceUID": item.study_instance_uid}
    top: Tags = {"0008,0005": "ISO_IR 192", _orthanc_tag(STATE_TAG): item.state}
    step: Tags = {_orthanc_tag(STEP_STATUS_TAG): STATUS_OF_STATE[item.state]}
    for attribute in ATTRIBUTES:
        target = step if attribute.in_step else top
        target[_orthanc_tag(attribute.tag)] = values.get(attribute.keyword, "")
    return {**top, _orthanc_tag(STEP_SEQUENCE): [step]}


def _read(entry: Any) -> Workitem:
    tags = entry.get("Tags") if isinstance(entry, Mapping) else None
    if not isinstance(tags, Mapping):
        raise PacsFault("the PACS answered a workitem that cannot be read")
    steps = tags.get(_orthanc_tag(STEP_SEQUENCE))
    step = steps[0] if isinstance(steps, list) and steps and isinstance(steps[0], Mapping) else {}
    fields = {each.keyword: _value(step if each.in_step else tags, each.tag) for each in ATTRIBUTES}
    state = _value(tags, STATE_TAG)
    return Workitem(
        study_instance_uid=fields.pop("StudyInstanceUID"),
        workitem_uid="",
        fields={keyword: value for keyword, value in fields.items() if value},
        state=state if state in STATES else SCHEDULED,
        reference=str(entry.get("ID", "")),
    )


def _value(tags: Mapping[str, Any], tag: str) -> str:
    value = tags.get(_orthanc_tag(tag), tags.get(_orthanc_tag(tag).upper()))
    return value if isinstance(value, str) else ""
