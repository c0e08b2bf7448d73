"""Small worklist servers that are as strict as the products, for `FakePacs` to serve.

Each one rejects what the standard or the product rejects, with the product's own status. `faults` lets the next
requests go wrong: before they are carried out, or after it, when only the answer is lost.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from tests.support.pacs import Answer, Handler, Received, answer, dicom_json, reset

Dataset = dict[str, Any]
ROOT = "/dicom-web"


def segments(received: Received) -> list[str]:
    return [unquote(part) for part in received.path.removeprefix(ROOT).strip("/").split("/")]


def nothing(status: int) -> Answer:
    return answer(status, b"")


class WorklistServer:
    """Routes requests to `serve`, and spoils those that `faults` names.

    `faults` holds (method, path part, when, misbehaviour): when is "before" or "after" the request took effect, or
    "last" for after which the server is down. While `down`, every connection is reset.
    """

    def __init__(self) -> None:
        self.faults: list[tuple[str, str, str, Answer]] = []
        self.down = self.dying = False
        self.requests: list[tuple[str, str]] = []

    def __call__(self, handler: Handler, received: Received) -> None:
        if self.down:
            reset(handler, received)
            return
        path = received.path.removeprefix(ROOT)
        self.requests.append((received.method, path))
        fault = next((each for each in self.faults if each[0] == received.method and each[1] in path), None)
        if fault:
            self.faults.remove(fault)
        if fault and fault[2] == "before":
            fault[3](handler, received)
            return
        reply = self.serve(received)
        self.down = self.dying or (fault is not None and fault[2] == "last")
        self.dying = False
        (fault[3] if fault else reply)(handler, received)

    def serve(self, received: Received) -> Answer:
        raise NotImplementedError


def value(dataset: Mapping[str, Any], *tags: str) -> Any:
    """Follow tags through the first items of sequences."""
    found: Any = dataset
    for tag in tags:
        values = found.get(tag, {}).get("Value") if isinstance(found, Mapping) else None
        found = values[0] if values else None
    return found


class UpsServer(WorklistServer):
    """UPS-RS as PS3.18 §11 and PS3.4 CC.2 have it, in the dialect of one product."""

    TYPE_1 = ("00741000", "00741200", "00741204", "00404005", "00404041", "00080018")
    TYPE_2 = (
        *("00741202", "00741210", "00404025", "00404026", "00404027", "00404018", "00400400", "00404021"),
        *("00100010", "00100020", "00100030", "00100040", "00101002", "00380010", "00380014", "00081080", "00081084"),
        *("0040A370", "00741002", "00741216", "00081195", "00102000", "001021C0", "00380050", "0020000D"),
    )
    EMPTY = ("00741002", "00741216", "00081195")
    TYPE_2_IN_REQUEST = ("00080050", "00080051", "00401001", "00321060", "00321064", "00400026")
    AZURE_KEYS = frozenset(
        (
            *("PatientName", "PatientID", "0040A370.00080050", "0040A370.00401001", "00404025.00080100"),
            *("00404026.00080100", "00404027.00080100", "ProcedureStepState", "ScheduledProcedureStepStartDateTime"),
            *("SOPInstanceUID", "limit", "offset", "includefield", "fuzzymatching"),
        )
    )

    def __init__(self, dialect: str) -> None:
        super().__init__()
        self.dialect = dialect
        self.steps: dict[str, Dataset] = {}
        self.keys: dict[str, str] = {}

    def serve(self, received: Received) -> Answer:
        parts = segments(received)
        if parts[0] != "workitems":
            return nothing(404)
        if received.method in ("POST", "PUT") and received.headers.get("content-type") != "application/dicom+json":
            return nothing(406 if self.dialect == "dcm4chee" else 415)
        body = self._body(received)
        if body is None:
            return nothing(400)
        match (received.method, parts[1:]):
            case ("POST", []):
                return self._create(received, body)
            case ("GET", []):
                return self._search(received)
            case ("GET", [uid]):
                step = self.steps.get(uid)
                return dicom_json([step] if self.dialect == "azure" else step) if step else nothing(404)
            case ("POST", [uid]):
                return self._update(uid, received, body)
            case (_, [uid, action, *requester]) if bool(requester) == (self.dialect == "dcm4chee"):
                act = {("PUT", "state"): self._state, ("POST", "cancelrequest"): self._cancel}
                return act[(received.method, action)](uid, body)
        return nothing(404)

    def _body(self, received: Received) -> Dataset | None:
        if not received.body:
            return {}
        body = json.loads(received.body)
        if self.dialect == "azure":
            return body[0] if isinstance(body, list) and len(body) == 1 else None
        return body if isinstance(body, dict) else None

    def _create(self, received: Received, body: Dataset) -> Answer:
        query = received.target.partition("?")[2]
        uid = query if self.dialect == "azure" else received.query.get("workitem", "")
        request = value(body, "0040A370") or {}
        wrong = (
            "=" in uid,
            any(value(body, tag) is None for tag in self.TYPE_1),
            any(tag not in body for tag in self.TYPE_2),
            any(value(body, tag) is not None for tag in self.EMPTY),
            any(tag not in request for tag in self.TYPE_2_IN_REQUEST) or value(request, "0020000D") is None,
            "00404010" in body,
            value(body, "00741000") != "SCHEDULED",
            value(body, "00741200") not in ("HIGH", "MEDIUM", "LOW"),
            bool(uid) and value(body, "00080018") != uid,
        )
        if any(wrong):
            return nothing(400)
        if uid in self.steps:
            return nothing(409)
        self.steps[uid] = {tag: each for tag, each in body.items() if tag != "00081195"}
        return answer(201, b"", Location=f"http://pacs.example{ROOT}/workitems/{uid}")

    def _search(self, received: Received) -> Answer:
        query = dict(received.query)
        if self.dialect == "azure" and (set(query) - self.AZURE_KEYS or not 1 <= int(query.get("limit", "100")) <= 200):
            return nothing(400)
        offset, limit = int(query.pop("offset", "0")), int(query.pop("limit", "100"))
        query.pop("includefield", None)
        found = [step for step in self.steps.values() if all(_ups_matches(step, *pair) for pair in query.items())]
        page = found[offset : offset + limit]
        return dicom_json(page) if page else nothing(204)

    def _update(self, uid: str, received: Received, body: Dataset) -> Answer:
        step = self.steps.get(uid)
        if step is None:
            return nothing(404)
        rejected = nothing(400 if self.dialect == "azure" else 409)
        if self.dialect == "dcm4chee":
            key = value(body, "00081195")
        elif "00081195" in body:
            return nothing(400)
        else:
            query = received.target.partition("?")[2]
            key = (query if self.dialect == "azure" else received.query.get("transaction-uid")) or None
        if {"00741000", "00080018", "00080016"} & set(body):
            return nothing(400)
        if value(step, "00741000") not in ("SCHEDULED", "IN PROGRESS") or key != self.keys.get(uid):
            return rejected
        step.update({tag: each for tag, each in body.items() if tag != "00081195"})
        return answer(200, b"")

    def _state(self, uid: str, body: Dataset) -> Answer:
        step = self.steps.get(uid)
        if step is None:
            return nothing(404)
        key, target, state = value(body, "00081195"), value(body, "00741000"), value(step, "00741000")
        if key is None or target not in ("IN PROGRESS", "COMPLETED", "CANCELED"):
            return nothing(400)
        if target == "IN PROGRESS":
            if state != "SCHEDULED":
                return nothing(409)
            self.keys[uid] = key
        elif state == target:
            return answer(200, b"", Warning=f"299 pacs: The UPS is already in the requested state of {target}.")
        elif state != "IN PROGRESS" or self.keys.get(uid) != key or not self._may_end(step, target):
            return nothing(409)
        step["00741000"] = {"vr": "CS", "Value": [target]}
        return answer(200, b"")

    def _may_end(self, step: Dataset, target: str) -> bool:
        """PS3.4 CC.2.5-3, "Final State"; dcm4chee checks just these."""
        if target == "CANCELED":
            return all(value(step, "00741002", tag) is not None for tag in ("00404052", "0074100E"))
        needed = ("00404028", "00404019", "00404050", "00404051")
        return all(value(step, "00741216", tag) is not None for tag in needed)

    def _cancel(self, uid: str, _body: Dataset) -> Answer:
        step = self.steps.get(uid)
        if step is None:
            return nothing(404)
        if value(step, "00741000") in ("IN PROGRESS", "COMPLETED"):
            return nothing(409)
        step["00741000"] = {"vr": "CS", "Value": ["CANCELED"]}
        return nothing(202)


_UPS_KEYS = {
    "PatientID": ("00100020",),
    "StudyInstanceUID": ("0020000D",),
    "ProcedureStepState": ("00741000",),
    "0040A370.00080050": ("0040A370", "00080050"),
    "00404025.00080100": ("00404025", "00080100"),
    "00404026.00080100": ("00404026", "00080100"),
}


def _ups_matches(step: Dataset, key: str, wanted: str) -> bool:
    if key == "ScheduledProcedureStepStartDateTime":
        low, _, high = wanted.partition("-")
        start = str(value(step, "00404005"))
        return start >= low and (not high or start[: len(high)] <= high)
    return bool(value(step, *_UPS_KEYS[key]) == wanted)


class MwlServer(WorklistServer):
    """dcm4chee's `mwlitems` and `patients`: POST replaces silently, patients are records of their own."""

    STATUS = ("SCHEDULED", "ARRIVED", "READY", "STARTED", "DEPARTED", "CANCELED", "DISCONTINUED", "COMPLETED")
    PATIENT = ("00100010", "00100020", "00100030", "00100040")

    def __init__(self) -> None:
        super().__init__()
        self.patients: dict[str, Dataset] = {}
        self.items: dict[tuple[str, str], Dataset] = {}

    def serve(self, received: Received) -> Answer:
        parts = segments(received)
        body = json.loads(received.body) if received.body else {}
        match (received.method, parts):
            case ("POST", ["patients"]):
                return self._patient(body)
            case ("POST", ["mwlitems"]):
                return self._store(body)
            case ("GET", ["mwlitems"]):
                return self._search(dict(received.query))
            case ("DELETE", ["mwlitems", study, step]):
                return nothing(204 if self.items.pop((study, step), None) else 404)
            case ("POST", ["mwlitems", study, step, "status", status]):
                return self._status(self.items.get((study, step)), status)
        return nothing(404)

    def _patient(self, body: Dataset) -> Answer:
        patient_id = value(body, "00100020")
        if patient_id is None:
            return nothing(400)
        if patient_id in self.patients:
            return nothing(409)
        self.patients[patient_id] = {tag: body[tag] for tag in self.PATIENT if tag in body}
        return nothing(204)

    def _store(self, body: Dataset) -> Answer:
        patient_id, step = value(body, "00100020"), value(body, "00400100")
        if patient_id is None or not step:
            return nothing(400)
        if patient_id not in self.patients:
            return answer(404, b'{"errorMessage":"Patient does not exist."}')
        key = (value(body, "0020000D"), value(step, "00400009"))
        there = self.items.get(key)
        if there and value(there, "00100020") != patient_id:
            return answer(400, b'{"errorMessage":"Patient mismatch"}')
        self.items[key] = body
        return dicom_json(body)

    def _search(self, query: dict[str, str]) -> Answer:
        offset, limit = int(query.pop("offset", "0")), int(query.pop("limit", "1000"))
        query.pop("includefield", None)
        shown = [{**item, **self.patients[value(item, "00100020")]} for item in self.items.values()]
        found = [item for item in shown if all(_mwl_matches(item, *pair) for pair in query.items())]
        page = found[offset : offset + limit]
        return dicom_json(page) if page else nothing(204)

    def _status(self, item: Dataset | None, status: str) -> Answer:
        if status not in self.STATUS:
            return nothing(400)
        if item is None:
            return nothing(404)
        value(item, "00400100")["00400020"] = {"vr": "CS", "Value": [status]}
        return nothing(204)


_MWL_KEYS = {
    "PatientID": ("00100020",),
    "AccessionNumber": ("00080050",),
    "StudyInstanceUID": ("0020000D",),
    "ScheduledProcedureStepSequence.Modality": ("00400100", "00080060"),
    "ScheduledProcedureStepSequence.ScheduledStationAETitle": ("00400100", "00400001"),
    "ScheduledProcedureStepSequence.ScheduledProcedureStepStatus": ("00400100", "00400020"),
}


def _mwl_matches(item: Dataset, key: str, wanted: str) -> bool:
    if key == "ScheduledProcedureStepSequence.ScheduledProcedureStepStartDate":
        low, _, high = wanted.partition("-")
        day = str(value(item, "00400100", "00400002"))
        return day >= low and (not high or day <= high)
    return bool(value(item, *_MWL_KEYS[key]) == wanted)


class OrthancServer(WorklistServer):
    """The REST service of Orthanc's worklists plugin: no filters, an ID for each entry, tags as `gggg,eeee`."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, Dataset] = {}

    def serve(self, received: Received) -> Answer:
        parts = segments(received)
        match (received.method, parts):
            case ("POST", ["worklists", "create"]):
                return self._write(str(uuid.uuid4()), received)
            case ("PUT", ["worklists", reference]):
                return self._write(reference, received) if reference in self.entries else nothing(404)
            case ("GET", ["worklists"]):
                return _json([{"ID": key, "Tags": tags} for key, tags in self.entries.items()])
            case ("GET", ["worklists", reference]) if reference in self.entries:
                return _json({"ID": reference, "Tags": self.entries[reference]})
            case ("DELETE", ["worklists", reference]):
                return _json({}) if self.entries.pop(reference, None) is not None else nothing(404)
        return nothing(404)

    def _write(self, reference: str, received: Received) -> Answer:
        tags = json.loads(received.body).get("Tags")
        if not isinstance(tags, dict):
            return nothing(400)
        steps = tags.get("0040,0100")
        step = steps[0] if isinstance(steps, list) and steps else {}
        if not step.get("0008,0060") or not step.get("0040,0002") or not _all_text(tags):
            return nothing(400)
        self.entries[reference] = tags
        return _json({"ID": reference, "Path": f"/worklists/{reference}"})


def _all_text(tags: Dataset) -> bool:
    return all(
        isinstance(each, str) or (isinstance(each, list) and all(map(_all_text, each))) for each in tags.values()
    )


def _json(document: object) -> Answer:
    return answer(200, json.dumps(document).encode(), "application/json")


Server = UpsServer | MwlServer | OrthancServer
MAKERS: dict[str, Callable[[], Server]] = {
    "ups-rs": lambda: UpsServer("standard"),
    "ups-rs-azure": lambda: UpsServer("azure"),
    "ups-rs-dcm4chee": lambda: UpsServer("dcm4chee"),
    "mwl-rs": MwlServer,
    "orthanc": OrthancServer,
}
