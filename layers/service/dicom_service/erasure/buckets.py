"""The buckets: staged files, quarantine, reports, retrieved files, pictures, worklist files; every version of each."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dicom_service.erasure.content import Content, Reader
from dicom_service.erasure.places import Places
from dicom_service.erasure.stores import Version, Writer, fetch, unfinished, versions
from dicom_service.erasure.subject import Subject
from dicom_service.erasure.uploads import ERASED
from dicom_service.settings import MIB
from dicom_service.uploads.settings import QUARANTINE_PREFIX, REPORTS_PREFIX
from dicom_service.uploads.staged_object import DROP_PREFIX, UPLOADS_PREFIX

_AT_ONCE = 8
_STAGED = (UPLOADS_PREFIX, DROP_PREFIX)


class Staging:
    """The staging bucket.

    Attributes
    ----------
    mixed
        Staged ZIPs that bring somebody else's exam as well, which the PACS does not have yet: they stay.
    unread
        ZIPs that could not be opened wholly, so that it is not known whose they are.
    """

    def __init__(self, places: Places, subject: Subject) -> None:
        self._bucket = places.staging
        self._subject = subject
        self._reader = Reader(subject)
        self._contents: dict[Version, Content] = {}
        self.mixed = 0
        self.unread = 0

    def find(self) -> None:
        """Read what is staged and in quarantine; add the studies and files in which the subject was recognized."""
        wanted = [one for one in versions(self._bucket) if not one.marker and not one.key.startswith(REPORTS_PREFIX)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for version, content in zip(wanted, pool.map(self._look, wanted), strict=True):
                self._contents[version] = content
                if not content.mine:
                    continue
                self._subject.studies |= content.studies
                place = version.key.removeprefix(QUARANTINE_PREFIX)
                if version.key.startswith(QUARANTINE_PREFIX) or place.startswith(UPLOADS_PREFIX):
                    self._subject.files.add(place)

    def erase(self, writer: Writer) -> None:
        """Remove versions and delete markers; clean reports that tell of others as well."""
        by_key: dict[str, list[Version]] = defaultdict(list)
        for version in versions(self._bucket):
            by_key[version.key].append(version)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda key: self._erase_key(key, by_key[key], writer), sorted(by_key)))
        for key, upload_id in unfinished(self._bucket):
            if key in self._subject.files or self._subject.named(key):
                writer.give_up("uploads/", self._bucket, key, upload_id)

    def _look(self, version: Version) -> Content:
        answer = fetch(version)
        content = self._reader.read(answer["Body"].iter_chunks(MIB)) if answer else Content()
        content.mine = content.mine or self._subject.named(version.key)
        return content

    def _erase_key(self, key: str, found: list[Version], writer: Writer) -> None:
        store = f"{key.partition('/')[0]}/"
        if key.startswith(REPORTS_PREFIX):
            for version in (one for one in found if not one.marker):
                self._erase_report(store, version, writer)
            return
        gone = [version for version in found if not version.marker and self._goes(version)]
        if len(gone) == sum(not version.marker for version in found) and (gone or self._subject.named(key)):
            gone = found
        if gone:
            writer.remove(store, gone)

    def _goes(self, version: Version) -> bool:
        content = self._contents.get(version, Content())
        place = version.key.removeprefix(QUARANTINE_PREFIX)
        mine = content.mine or place in self._subject.files
        if content.unread and not mine:
            self.unread += 1
        if mine and content.others and version.key.startswith(_STAGED):
            self.mixed += 1
            return False
        return mine

    def _erase_report(self, store: str, version: Version, writer: Writer) -> None:
        answer = fetch(version)
        if answer is None:
            return
        report: dict[str, Any] = json.loads(answer["Body"].read())
        place = version.key.removeprefix(REPORTS_PREFIX).removesuffix(".json")
        entries = report.get("results", [])
        mine = place in self._subject.files or self._is_of_subject(report) or any(map(self._is_of_subject, entries))
        if not mine:
            return
        left = [entry for entry in entries if "studyInstanceUID" in entry and not self._is_of_subject(entry)]
        if not left:
            writer.remove(store, [version])
        elif len(left) < len(entries) or report["key"] != ERASED:
            body = json.dumps({**report, "key": ERASED, "results": left}, indent=1, ensure_ascii=False)
            writer.replace(store, version, body.encode(), "application/json")

    def _is_of_subject(self, entry: Mapping[str, Any]) -> bool:
        names = (entry.get("key", ""), entry.get("name", ""))
        return self._subject.has(entry.get("studyInstanceUID")) or any(map(self._subject.named, names))


@dataclass(frozen=True)
class _Kept:
    """What is cached: ``instances/<study>/…``, ``archives/…``, ``dicomweb/…`` or ``thumbnails/<version>/<study>/…``."""

    store: str
    study: str


def _kept(key: str) -> _Kept:
    parts = key.split("/")
    place = {"instances": 1, "archives": 1, "dicomweb": 1, "thumbnails": 2}.get(parts[0], 0)
    return _Kept(f"{parts[0]}/", parts[place] if len(parts) > place else "")


class Cache:
    """The cache bucket, whose keys begin with the study and whose objects carry the hash of their patient."""

    def __init__(self, places: Places, subject: Subject) -> None:
        self._bucket = places.cache
        self._subject = subject

    def find(self) -> None:
        """Add the studies of files and pictures that carry the patient's hash."""
        if self._subject.request.patient is None:
            return
        unknown = [one for one in versions(self._bucket) if not one.marker]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for version, mine in zip(unknown, pool.map(self._is_mine, unknown), strict=True):
                if mine:
                    self._subject.add(_kept(version.key).study)

    def erase(self, writer: Writer) -> None:
        """Remove the files and pictures of the studies, and what was being fetched of them."""
        found: dict[str, list[Version]] = defaultdict(list)
        for version in versions(self._bucket):
            kept = _kept(version.key)
            if self._subject.has(kept.study):
                found[kept.store].append(version)
        for store, some in found.items():
            writer.remove(store, some)
        for key, upload_id in unfinished(self._bucket):
            if self._subject.has(_kept(key).study):
                writer.give_up(_kept(key).store, self._bucket, key, upload_id)

    def _is_mine(self, version: Version) -> bool:
        answer = fetch(version, head=True)
        return answer is not None and self._subject.is_hashed(answer["Metadata"].get("patient", ""))


def erase_worklist_files(places: Places, studies: Iterable[str], writer: Writer) -> None:
    """Remove the worklist files of the studies from their bucket; those of a folder go with their workitems."""
    if not places.worklist_files.startswith("s3://"):
        return
    bucket, _, prefix = places.worklist_files.removeprefix("s3://").partition("/")
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    for study in sorted(studies):
        name = f"{folder}{study}.wl"
        found = [version for version in versions(bucket, name) if version.key == name]
        if found:
            writer.remove("worklist files", found)
