"""The Uploads table: names of files, UIDs, results of ZIPs.

An upload keeps its rows, blanked, until they expire: its client may still ask how it ended. A dropped object's rows are
removed, since the hash of its name is their key.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from dicom_service.erasure.places import Places
from dicom_service.erasure.stores import Writer, scan
from dicom_service.erasure.subject import Subject
from dicom_service.uploads.table import UPLOAD, UploadsTable, read_entries
from dicom_service.uploads.upload_service import FILE_ID

STORE = "Uploads"
ERASED = "(erased)"
_OF_THE_FILE = ("studyInstanceUID", "sopInstanceUID", "sha256", "etag", "versionId", "detail")


def filed(upload_id: str, file: str) -> str:
    """Return where a row's report and its copy in quarantine lie (`StagedObject.filed`)."""
    source, _, digest = upload_id.partition("-")
    if digest:
        return f"drop/{digest}" if source == "drop" else f"uploads/{digest}"
    return f"uploads/{upload_id}/{file}"


class UploadRows:
    """Finds and erases what the table holds of a subject.

    Attributes
    ----------
    unknown
        Files that were rejected unread in an upload that brought somebody else's exam as well: whose they are cannot
        be told, so they stay until they expire.
    """

    def __init__(self, places: Places, subject: Subject) -> None:
        self._name = places.uploads
        self._table = UploadsTable(places.uploads)
        self._subject = subject
        self._touched: list[str] = []
        self.unknown = 0

    def find(self) -> None:
        """Find the uploads that brought something of the subject, and the files in them that are the subject's.

        A file that could not be read belongs to whom all the others of its upload belong to.
        """
        self._touched = sorted({item["uploadId"] for item in scan(self._name) if self._is_mine(item)})
        for upload_id in self._touched:
            items = list(self._table.items(upload_id))
            files = [item for item in items if "#" not in item["file"] and item.get("name") != ERASED]
            mine = [item for item in files if any(map(self._is_mine, _with_entries(item, items)))]
            others = [item for item in files if any(map(self._is_others, _with_entries(item, items)))]
            for item in files:
                if item in mine:
                    # A row that names its study is found by it again; only the others have to be remembered.
                    if not (item.get("state") == "stored" and self._subject.has(item.get("studyInstanceUID"))):
                        self._subject.files.add(filed(upload_id, item["file"]))
                elif not others and FILE_ID.fullmatch(item["file"]):
                    self._subject.files.add(filed(upload_id, item["file"]))
                elif item not in others:
                    self.unknown += 1

    def erase(self, writer: Writer) -> None:
        """Blank the rows of uploads, remove those of dropped objects."""
        for upload_id in self._touched:
            items = list(self._table.items(upload_id))
            mine = {item["file"] for item in items if "#" not in item["file"] and self._belongs(item, items)}
            rows = [item for item in items if item["file"].partition("#")[0] in mine]
            if not FILE_ID.fullmatch(next(iter(mine), "0000")):
                keys = [{"uploadId": upload_id, "file": item["file"]} for item in rows]
                writer.delete(STORE, self._name, keys)
                continue
            # The entries of a ZIP go first: by them it is known as the subject's.
            for item in sorted(rows, key=lambda row: "#" not in row["file"]):
                self._blank(item, writer)

    def _blank(self, item: Mapping[str, Any], writer: Writer) -> None:
        key = {"uploadId": item["uploadId"], "file": item["file"]}
        if "results" not in item:
            if item.get("name") != ERASED:
                # Of a file that is on its way the rest is still needed.
                gone = _OF_THE_FILE if "finishedAt" in item else ()
                writer.update(STORE, self._name, key, {"name": ERASED}, *gone)
            return
        entries = read_entries(item)
        left = [entry for entry in entries if self._is_others(entry)]
        if len(left) < len(entries):
            packed = zlib.compress(json.dumps(left, separators=(",", ":")).encode(), 6)
            writer.update(STORE, self._name, key, {"results": packed})

    def _belongs(self, item: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> bool:
        return any(map(self._is_mine, _with_entries(item, items)))

    def _is_mine(self, row: Mapping[str, Any]) -> bool:
        if self._subject.has(row.get("studyInstanceUID")) or self._subject.named(row.get("name", "")):
            return True
        if "uploadId" not in row or row["file"] == UPLOAD:
            return False
        if filed(row["uploadId"], row["file"].partition("#")[0]) in self._subject.files:
            return True
        return "results" in row and any(map(self._is_mine, read_entries(row)))

    def _is_others(self, row: Mapping[str, Any]) -> bool:
        if "results" in row:
            return any(map(self._is_others, read_entries(row)))
        return "studyInstanceUID" in row and not self._subject.has(row["studyInstanceUID"])


def _with_entries(item: Mapping[str, Any], items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return a file's row and the rows of its entries."""
    return [row for row in items if row["file"].partition("#")[0] == item["file"] and row["file"] != UPLOAD]
