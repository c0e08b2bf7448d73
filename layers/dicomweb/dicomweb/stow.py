"""Storing in a PACS: STOW-RS (PS3.18 section 10.5), with a result for every instance whatever the PACS answers.

Archives store some instances of a request and reject others, answer 400 although some were stored, or 200 although none
was. The status alone therefore decides nothing: the instances sent are compared with those that the answer lists, the
PACS is searched for the others, and those it does not have are sent again one by one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dicomweb._mapping import error_for_status
from dicomweb.dataset import Dataset, items, value
from dicomweb.errors import (
    DicomwebError,
    NotFound,
    NotSupported,
    PacsBusy,
    PacsFault,
    PacsRejectedCredentials,
    PacsTimeout,
    PacsUnreachable,
    RequestRejected,
)
from dicomweb.multipart import related_body
from dicomweb.transport import DICOM_JSON, Response, Transport

if TYPE_CHECKING:
    from dicomweb.qido import Qido
from dicomweb.uid import check_uid

PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000

_DUPLICATE = 0x0111
_STORED_ALREADY = frozenset((_DUPLICATE, 45070, 45071))  # the latter two are Azure's: there already, being stored
_UIDS_IN_A_QUERY = 20

_TRANSIENT = (PacsUnreachable, PacsTimeout, PacsBusy, PacsFault, PacsRejectedCredentials)

_REFERENCED = "00081199"
_FAILED = "00081198"
_CLASS = "00081150"
_INSTANCE = "00081155"
_URL = "00081190"
_WARNING = "00081196"
_FAILURE = "00081197"


@dataclass(frozen=True)
class StorePart:
    """One DICOM file to store.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid
        What the file says that it is.
    size
        Bytes of the file.
    open
        Gives a new iterator over the file at each call, so that it can be sent again.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    size: int
    open: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class InstanceResult:
    """The result for one instance.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid
        The instance.
    stored
        Whether the PACS has it.
    retrieve_url
        Where the PACS says it can be fetched.
    failure_reason
        Why it was not stored, (0008,1197): a code of PS3.18 table I.2-2 or of the product. 0xC000 where the PACS
        rejected it without a reason, 0x0110 where the cause may be temporary.
    warning_reason
        What the PACS changed, (0008,1196).
    duplicate
        Stored, but not now: the PACS says only that it has an instance of this UID already, whatever its content.
    """

    sop_class_uid: str
    sop_instance_uid: str
    stored: bool
    retrieve_url: str | None = None
    failure_reason: int | None = None
    warning_reason: int | None = None
    duplicate: bool = False


@dataclass(frozen=True)
class StoreResult:
    """The results for all instances of a request, in the order sent.

    Parameters
    ----------
    instances
        One result for each part.
    study_url
        Where the PACS says the study can be fetched.
    """

    instances: tuple[InstanceResult, ...]
    study_url: str | None = None

    @property
    def all_stored(self) -> bool:
        """Whether nothing failed."""
        return all(instance.stored for instance in self.instances)

    @property
    def none_stored(self) -> bool:
        """Whether everything failed."""
        return not any(instance.stored for instance in self.instances)

    def to_dataset(self) -> Dataset:
        """Make the response dataset of STOW-RS (PS3.18 section 10.5.3.1, annex I.2) in the DICOM JSON Model."""
        dataset: Dataset = {}
        if self.study_url:
            dataset[_URL] = {"vr": "UR", "Value": [self.study_url]}
        failed = [_item(instance) for instance in self.instances if not instance.stored]
        stored = [_item(instance) for instance in self.instances if instance.stored]
        if failed:
            dataset[_FAILED] = {"vr": "SQ", "Value": failed}
        if stored:
            dataset[_REFERENCED] = {"vr": "SQ", "Value": stored}
        return dataset


def _item(instance: InstanceResult) -> Dataset:
    item: Dataset = {
        _CLASS: {"vr": "UI", "Value": [instance.sop_class_uid]},
        _INSTANCE: {"vr": "UI", "Value": [instance.sop_instance_uid]},
    }
    if instance.retrieve_url:
        item[_URL] = {"vr": "UR", "Value": [instance.retrieve_url]}
    if instance.warning_reason is not None:
        item[_WARNING] = {"vr": "US", "Value": [instance.warning_reason]}
    if instance.failure_reason is not None:
        item[_FAILURE] = {"vr": "US", "Value": [instance.failure_reason]}
    return item


@dataclass
class _StoreOutcomes:
    """Collects the results of one call by SOP Instance UID."""

    known: dict[str, InstanceResult] = field(default_factory=dict)
    study_url: str | None = None

    def missing(self, parts: Sequence[StorePart]) -> list[StorePart]:
        return [part for part in parts if part.sop_instance_uid not in self.known]

    def stored(
        self, part: StorePart, url: str | None = None, warning: int | None = None, *, duplicate: bool = False
    ) -> None:
        self.known[part.sop_instance_uid] = InstanceResult(
            part.sop_class_uid,
            part.sop_instance_uid,
            True,
            retrieve_url=url,
            warning_reason=warning,
            duplicate=duplicate,
        )

    def failed(self, part: StorePart, reason: int) -> None:
        self.known[part.sop_instance_uid] = InstanceResult(
            part.sop_class_uid, part.sop_instance_uid, False, failure_reason=reason
        )

    def read(self, answer: Dataset, parts: Sequence[StorePart]) -> None:
        """Record the results that an answer lists; ignore UIDs that were not sent."""
        by_uid = {part.sop_instance_uid: part for part in parts}
        self.study_url = self.study_url or _text(answer, _URL)
        for item in items(answer, _FAILED):
            reason = _code(item, _FAILURE)
            part = by_uid.get(_text(item, _INSTANCE) or "")
            if part is None and len(by_uid) == 1:
                part = parts[0]  # dcm4chee invents a UID for what it cannot read
            if part is None:
                continue
            if reason in _STORED_ALREADY:
                self.stored(part, duplicate=True)
            else:
                self.failed(part, PROCESSING_FAILURE if reason is None else reason)
        # Last, so that "stored" wins where a file was sent twice and its second copy was rejected.
        for item in items(answer, _REFERENCED):
            part = by_uid.get(_text(item, _INSTANCE) or "")
            if part is not None:
                self.stored(part, _text(item, _URL), _code(item, _WARNING))


def _text(dataset: Dataset, tag: str) -> str | None:
    found = value(dataset, tag)
    return found if isinstance(found, str) and found else None


def _code(dataset: Dataset, tag: str) -> int | None:
    found = value(dataset, tag)
    if isinstance(found, str) and found.isascii() and found.isdigit():
        return int(found)
    return found if isinstance(found, int) else None


class Stow:
    """The store service of one PACS.

    Parameters
    ----------
    transport
        Sends the requests.
    url
        Base URL of the service.
    qido
        Searched for instances that an answer does not list.
    """

    def __init__(self, transport: Transport, url: str, qido: Qido) -> None:
        self._transport = transport
        self._url = url.rstrip("/")
        self._qido = qido

    def store(self, parts: Sequence[StorePart], study_uid: str | None) -> StoreResult:
        """Store files and return a result for each.

        Parameters
        ----------
        parts
            The files. Storing an instance again is harmless.
        study_uid
            Reject instances of any other study.
        """
        for part in parts:
            check_uid(part.study_instance_uid)
            check_uid(part.series_instance_uid)
            check_uid(part.sop_instance_uid)
        url = f"{self._url}/studies" + (f"/{check_uid(study_uid)}" if study_uid else "")
        outcomes = _StoreOutcomes()
        if parts:
            with self._transport.shared_deadline():
                self._store_all(url, parts, outcomes)
        return StoreResult(
            tuple(_own(outcomes.known[part.sop_instance_uid], part) for part in parts), outcomes.study_url
        )

    def _store_all(self, url: str, parts: Sequence[StorePart], outcomes: _StoreOutcomes) -> None:
        failure: DicomwebError | None = None
        try:
            failure = self._attempt(url, parts, outcomes)
            for part in outcomes.missing(parts) if len(parts) > 1 else ():
                if part.sop_instance_uid not in outcomes.known:  # the same file may have been sent twice
                    failure = self._attempt(url, [part], outcomes)
        except _TRANSIENT as error:
            failure = error
        unknown = outcomes.missing(parts)
        if unknown and failure is not None and not outcomes.known:
            raise failure
        for part in unknown:
            outcomes.failed(part, PROCESSING_FAILURE)

    def _attempt(self, url: str, parts: Sequence[StorePart], outcomes: _StoreOutcomes) -> DicomwebError | None:
        """Send the parts, look up those that the answer does not list, and return the error, if any."""
        failure = self._send(url, parts, outcomes)
        no_service = isinstance(failure, NotFound) or (isinstance(failure, NotSupported) and failure.status != 415)
        if no_service and not outcomes.known:
            raise NotSupported("there is no STOW-RS service at this address") from failure
        missing = outcomes.missing(parts)
        self._look_up(missing, outcomes)
        if len(parts) == 1 and isinstance(failure, RequestRejected | NotSupported):
            for part in outcomes.missing(missing):
                # Rejected when sent alone: the result is final, though without a reason.
                outcomes.failed(part, OUT_OF_RESOURCES if failure.status == 413 else CANNOT_UNDERSTAND)
        return failure

    def _send(self, url: str, parts: Sequence[StorePart], outcomes: _StoreOutcomes) -> DicomwebError | None:
        """Send the parts in one request, record the listed results, and return the error, if any."""
        body = related_body([(part.size, part.open) for part in parts])
        try:
            response = self._transport.request("POST", url, headers={"Accept": DICOM_JSON}, body=body, idempotent=True)
        except PacsUnreachable as error:
            return error
        outcomes.read(_dataset(response), parts)
        failure = error_for_status(response.status, response.headers)
        if isinstance(failure, _TRANSIENT) and not isinstance(failure, PacsFault) and outcomes.missing(parts):
            raise failure
        return failure

    def _look_up(self, parts: Sequence[StorePart], outcomes: _StoreOutcomes) -> None:
        """Ask the PACS which of these it has."""
        by_series: dict[tuple[str, str], dict[str, StorePart]] = defaultdict(dict)
        for part in parts:
            by_series[part.study_instance_uid, part.series_instance_uid][part.sop_instance_uid] = part
        for (study_uid, series_uid), wanted in by_series.items():
            uids = list(wanted)
            for start in range(0, len(uids), _UIDS_IN_A_QUERY):
                some = uids[start : start + _UIDS_IN_A_QUERY]
                try:
                    found = self._qido.instances_by_uid(study_uid, series_uid, some)
                except (RequestRejected, NotSupported, PacsRejectedCredentials):
                    return  # may store but not search: the others stay unknown
                for row in found.datasets:
                    part_found = wanted.get(_text(row, "00080018") or "")
                    if part_found is not None:
                        outcomes.stored(part_found, _text(row, _URL))


def _dataset(response: Response) -> Dataset:
    """Read the response dataset, empty where there is none: some archives answer errors in HTML, or with no body."""
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    if isinstance(answer, list):  # as if it were a search
        answer = answer[0] if answer else {}
    return answer if isinstance(answer, dict) else {}


def _own(result: InstanceResult, part: StorePart) -> InstanceResult:
    return replace(result, sop_class_uid=part.sop_class_uid)
