"""The worklist of a PACS that speaks UPS-RS (PS3.18 §11), in the dialects of the standard, Azure and dcm4chee.

=================  ==========================  ====================  ===================================
what               standard                    Azure                 dcm4chee
=================  ==========================  ====================  ===================================
UID on create      ``?workitem=1.2.3``         ``?1.2.3``            ``?workitem=1.2.3``
body               one dataset                 array of one          one dataset
state              ``PUT …/state``             ``PUT …/state``       ``PUT …/state/{requester}``
cancel             ``POST …/cancelrequest``    the same              ``POST …/cancelrequest/{requester}``
key on update      ``?transaction-uid=1.2.3``  ``?1.2.3``            in the dataset
search by study    yes                         no                    yes
=================  ==========================  ====================  ===================================
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from dicomweb.errors import NotFound, PacsFault, RequestRejected
from dicomweb.uid import check_uid
from dicomweb.worklist import ups
from dicomweb.worklist.attributes import STATE_TAG
from dicomweb.worklist.base import CANCELED, COMPLETED, IN_PROGRESS, SCHEDULED, Page, Query, Workitem, WorkitemKey
from dicomweb.worklist.dicom_json import element
from dicomweb.worklist.paging import collect
from dicomweb.worklist.rest import Rest, datasets

STANDARD = "standard"
AZURE = "azure"
DCM4CHEE = "dcm4chee"
DIALECTS = (STANDARD, AZURE, DCM4CHEE)

_DUPLICATE = 409


def _now() -> str:
    return time.strftime("%Y%m%d%H%M%S", time.gmtime())


class UpsRs:
    """Unified Procedure Steps at a PACS.

    A step in progress needs its Transaction UID for every change, and no response contains it: the caller keeps it
    in `Workitem.transaction_uid`.

    Parameters
    ----------
    rest
        Where the service is; paths start at its `workitems` resource.
    dialect
        One of `DIALECTS`.
    requester
        AE title under which dcm4chee knows this client.
    now
        Clock for the times of completion and cancellation, `YYYYMMDDHHMMSS` in UTC.
    """

    supported_fields = ups.SUPPORTED_FIELDS
    keeps_finished = True
    can_delete = False

    def __init__(
        self, rest: Rest, *, dialect: str = STANDARD, requester: str = "DICOMSERVICE", now: Callable[[], str] = _now
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"the UPS-RS dialect is one of {', '.join(DIALECTS)}")
        self._rest = rest
        self._dialect = dialect
        self._requester = requester
        self._now = now

    def create(self, item: Workitem) -> Workitem:
        """Create the procedure step under `workitem_uid` (PS3.18 §11.4).

        Raises
        ------
        RequestRejected
            With reason ``DUPLICATE`` where the UID is taken.
        DicomwebError
            The PACS failed.
        """
        uid = check_uid(item.workitem_uid)
        query = uid if self._dialect == AZURE else urlencode({"workitem": uid})
        answer = self._rest.call(
            "POST", "/workitems", query=query, payload=self._body(ups.for_create(item)), also=(409,)
        )
        if answer.status == _DUPLICATE:
            raise RequestRejected("the PACS has this workitem already", status=409, reason="DUPLICATE")
        return item

    def search(self, query: Query, *, limit: int, cursor: str | None = None) -> Page:
        """Search procedure steps (PS3.18 §11.9)."""
        parameters = self._parameters(query)

        def fetch(offset: int, count: int) -> list[Workitem]:
            window = {"limit": count, "offset": offset, "includefield": "all"}
            answer = self._rest.call("GET", "/workitems", query=urlencode({**parameters, **window}))
            return [ups.read(dataset) for dataset in datasets(answer)]

        return collect(fetch, query, limit=limit, cursor=cursor)

    def retrieve(self, key: WorkitemKey) -> Workitem:
        """Retrieve a procedure step by its UID, or by its study where only that is known (PS3.18 §11.5).

        Raises
        ------
        NotFound
            It is not there, or cannot be found by study at this PACS.
        DicomwebError
            The PACS failed.
        """
        if not key.workitem_uid:
            return self._of_study(key.study_instance_uid)
        found = datasets(self._rest.call("GET", f"/workitems/{check_uid(key.workitem_uid)}"))
        if not found:
            raise PacsFault("the PACS answered a workitem that cannot be read")
        return ups.read(found[0])

    def update(self, item: Workitem, changes: Mapping[str, str]) -> Workitem:
        """Change fields of a scheduled procedure step (PS3.18 §11.6)."""
        changed = item.changed(changes)
        self._update(changed, ups.for_update(changed))
        return changed

    def change_state(self, item: Workitem, state: str) -> Workitem:
        """Claim, complete or cancel a procedure step (PS3.18 §11.7 and §11.8).

        A scheduled step is canceled by request. One in progress first gets what its final state requires.
        """
        if item.state == SCHEDULED and state == CANCELED:
            self._request_cancellation(item)
            return item
        if state == COMPLETED:
            self._update(item, ups.for_completion(item, self._now()))
        elif state == CANCELED:
            self._update(item, ups.for_cancellation(self._now()))
        self._put_state(item, state)
        return item

    def delete(self, item: Workitem) -> None:
        """Cancel a procedure step that is still scheduled: UPS-RS has no delete, so the caller hides it.

        Raises
        ------
        RequestRejected
            It is in progress.
        DicomwebError
            The PACS failed.
        """
        try:
            there = self.retrieve(item.key)
        except NotFound:
            return
        if there.state == SCHEDULED:
            self._request_cancellation(there)
        elif there.state == IN_PROGRESS:
            raise RequestRejected("the workitem is in progress", status=409, reason="IN_PROGRESS")

    def _of_study(self, study_instance_uid: str) -> Workitem:
        if self._dialect == AZURE:
            raise NotFound("this PACS cannot be asked for the workitem of a study")
        query = urlencode({"StudyInstanceUID": check_uid(study_instance_uid), "includefield": "all"})
        found = [ups.read(dataset) for dataset in datasets(self._rest.call("GET", "/workitems", query=query))]
        own = [each for each in found if each.study_instance_uid == study_instance_uid]
        if not own:
            raise NotFound("the PACS has no workitem of this study")
        # A deleted workitem stays there canceled; one that is still alive comes first.
        return min(own, key=lambda each: each.state == CANCELED)

    def _parameters(self, query: Query) -> dict[str, str]:
        end = query.end.ljust(14, "0") if query.end and len(query.end) > 8 else f"{query.end}235959"
        wanted = {
            "PatientID": query.patient_id,
            f"{ups.REQUEST}.00080050": query.accession_number,
            f"{ups.STATION}.{ups.CODE_VALUE}": query.station,
            f"{ups.STATION_CLASS}.{ups.CODE_VALUE}": query.modality,
            "ProcedureStepState": query.state,
        }
        if query.start or query.end:
            wanted["ScheduledProcedureStepStartDateTime"] = f"{query.start or ''}-{end if query.end else ''}"
        return {name: value for name, value in wanted.items() if value is not None}

    def _body(self, dataset: dict[str, Any]) -> Any:
        return [dataset] if self._dialect == AZURE else dataset

    def _update(self, item: Workitem, changes: dict[str, Any]) -> None:
        query = ""
        key = check_uid(item.transaction_uid) if item.transaction_uid and item.state == IN_PROGRESS else ""
        if key and self._dialect == DCM4CHEE:
            changes = {**changes, ups.TRANSACTION_UID: element("UI", key)}
        elif key:
            # Editions before 2020 call the parameter `transaction`; a server ignores the one it does not know.
            query = key if self._dialect == AZURE else urlencode({"transaction-uid": key, "transaction": key})
        self._rest.call("POST", f"/workitems/{check_uid(item.workitem_uid)}", query=query, payload=self._body(changes))

    def _put_state(self, item: Workitem, state: str) -> None:
        if not item.transaction_uid:
            raise RequestRejected("the workitem belongs to another client", status=409, reason="NOT_OWNER")
        changes = {
            ups.TRANSACTION_UID: element("UI", item.transaction_uid),
            STATE_TAG: element("CS", state),
        }
        path = f"/workitems/{check_uid(item.workitem_uid)}/state"
        self._rest.call("PUT", self._signed(path), payload=self._body(changes))

    def _request_cancellation(self, item: Workitem) -> None:
        path = f"/workitems/{check_uid(item.workitem_uid)}/cancelrequest"
        self._rest.call("POST", self._signed(path), payload=self._body({}))

    def _signed(self, path: str) -> str:
        return f"{path}/{self._requester}" if self._dialect == DCM4CHEE else path
