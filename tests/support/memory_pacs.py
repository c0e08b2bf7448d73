"""A PACS in memory: it stores, is searched and fetched from, and does what a test asks of it."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from dicom_service.part10 import BytesSource, read_header
from dicomweb.client import InstanceResult, StorePart, StoreResult
from dicomweb.errors import NotSupported, PacsUnreachable
from tests.support.fake_client import FakeClient


class MemoryPacs(FakeClient):  # type: ignore[misc]
    """A PACS in memory; `before` and `after` may raise, or change what is stored and what is told."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], bytes] = {}
        """What it has, by StudyInstanceUID and SOPInstanceUID."""
        self.asked: list[str] = []
        """What it answered: studies, instances, fetch, store."""
        self.requests: list[int] = []
        """How many files each store request had."""
        self.refuse: dict[str, int] = {}
        """FailureReason by SOPInstanceUID."""
        self.deadly: set[str] = set()
        """Files after which it answers nothing any more."""
        self.dead = False
        self.says_duplicate = False
        self.searches_all = True
        self.before: Callable[[Sequence[StorePart]], None] = lambda parts: None
        self.after: Callable[[Sequence[StorePart]], None] = lambda parts: None

    @property
    def stored(self) -> dict[str, bytes]:
        """What it has, by SOPInstanceUID."""
        return {instance: content for (_, instance), content in self.held.items()}

    def search_for_studies(self, filters: Mapping[str, str], *, includefields: Sequence[str] = ()) -> Any:
        self._answer("studies")
        study = filters["StudyInstanceUID"]
        headers = [read_header(BytesSource(content)) for (held, _), content in self.held.items() if held == study]
        patients = {header.patient_id for header in headers}
        return SimpleNamespace(datasets=[{"00100020": {"vr": "LO", "Value": [patient]}} for patient in patients])

    def search_for_instances(
        self,
        study_uid: str | None,
        series_uid: str | None = None,
        filters: Mapping[str, str] | None = None,
        *,
        includefields: Sequence[str] = (),
    ) -> Any:
        self._answer("instances")
        if study_uid is None and not self.searches_all:
            raise NotSupported("no")
        wanted = (filters or {})["SOPInstanceUID"].split(",")
        found = [key for key in self.held if key[1] in wanted and study_uid in (None, key[0])]
        return SimpleNamespace(
            datasets=[
                {"0020000D": {"Value": [study]}, "0020000E": {"Value": ["1.2.3.4"]}, "00080018": {"Value": [uid]}}
                for study, uid in found
            ]
        )

    @contextlib.contextmanager
    def retrieve_instance(self, study_uid: str, series_uid: str, instance_uid: str) -> Iterator[Any]:
        self._answer("fetch")
        content = self.held[study_uid, instance_uid]
        yield SimpleNamespace(iter_bytes=lambda: iter((content,)))

    def store_instances(self, parts: Sequence[StorePart], study_uid: str | None = None) -> StoreResult:
        self._answer("store")
        self.requests.append(len(parts))
        self.before(parts)
        if self.deadly & {part.sop_instance_uid for part in parts}:
            self.dead = True
            raise PacsUnreachable("reset")
        result = StoreResult(tuple(self._store(part) for part in parts))
        self.after(parts)
        return result

    def _store(self, part: StorePart) -> InstanceResult:
        content = b"".join(part.open())
        assert len(content) == part.size, "the length announced is the length sent"
        reason = self.refuse.get(part.sop_instance_uid)
        if reason is None:
            self.held.setdefault((part.study_instance_uid, part.sop_instance_uid), content)
        return InstanceResult(
            part.sop_class_uid,
            part.sop_instance_uid,
            reason is None,
            failure_reason=reason,
            duplicate=self.says_duplicate,
        )

    def _answer(self, what: str) -> None:
        if self.dead:
            raise PacsUnreachable("refused")
        self.asked.append(what)
