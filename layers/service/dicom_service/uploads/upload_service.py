"""Uploads as their client sees them: opened with a list of files, filled through S3, watched until they end."""

import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dicom_service.day import iso
from dicom_service.errors import BadRequest, Conflict, NotFound, PayloadTooLarge
from dicom_service.storing.failure_reasons import EXPIRED
from dicom_service.uploads.presigned_uploads import PresignedUploads
from dicom_service.uploads.settings import (
    LARGEST_FILE,
    MOST_FILES,
    MOST_URLS,
    PART_SIZE,
    REPORTS_PREFIX,
    SINGLE_POST_LIMIT,
    UploadSettings,
)
from dicom_service.uploads.staged_object import UPLOADS_PREFIX, staging_key
from dicom_service.uploads.table import OPEN, UPLOAD, UploadsTable, read_entries, stored_instances

UPLOAD_ID = re.compile(r"[0-9a-f]{32}")
FILE_ID = re.compile(r"[0-9]{4}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_LONGEST_NAME = 300
_MOST_PROBLEMS = 100
_MEMBERS = frozenset({"name", "size", "sha256"})


@dataclass(frozen=True)
class Announced:
    """A file that a client is going to send."""

    name: str
    size: int
    sha256: str | None

    @property
    def parts(self) -> int:
        """Number of parts; 0 where one POST takes it."""
        return -(-self.size // PART_SIZE) if self.size > SINGLE_POST_LIMIT else 0


def read_files(body: Mapping[str, Any]) -> list[Announced]:
    """Read the list of files of ``POST /uploads``.

    Raises
    ------
    BadRequest
        With ``errors``: everything that is wrong with it.
    PayloadTooLarge
        A file is larger than 5 GiB, or all together need more parts than one answer can name.
    """
    files = body.get("files")
    if not isinstance(files, list) or not 1 <= len(files) <= MOST_FILES:
        raise _bad([{"field": "files", "problem": f"not a list of 1 to {MOST_FILES} files"}])
    problems = [{"field": str(name)[:64], "problem": "unknown"} for name in body if name != "files"]
    for number, file in enumerate(files):
        problems += [{"field": f"files[{number}]{field}", "problem": problem} for field, problem in _problems_of(file)]
    if problems:
        raise _bad(problems)
    announced = [Announced(file["name"], file["size"], (file.get("sha256") or "").lower() or None) for file in files]
    for number, entry in enumerate(announced):
        if entry.size > LARGEST_FILE:
            detail = f"files[{number}] has {entry.size} bytes; a file may have {LARGEST_FILE}."
            raise PayloadTooLarge(detail, code="FILE_TOO_LARGE", limit=LARGEST_FILE)
    # A form is about as long as two URLs.
    if sum(entry.parts or 2 for entry in announced) > MOST_URLS:
        detail = f"The files need more parts of {PART_SIZE} bytes than one answer can name; open several uploads."
        raise PayloadTooLarge(detail, code="TOO_MANY_PARTS")
    return announced


def _problems_of(file: Any) -> list[tuple[str, str]]:
    if not isinstance(file, dict):
        return [("", "not an object")]
    found = [(f".{str(name)[:64]}", "unknown") for name in file if name not in _MEMBERS]
    name, size, sha256 = file.get("name"), file.get("size"), file.get("sha256")
    if not isinstance(name, str) or not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        found.append((".name", f"not 1 to {_LONGEST_NAME} printable characters"))
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        found.append((".size", "not a number of bytes"))
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        found.append((".sha256", "not 64 hexadecimal digits"))
    return found


def _bad(problems: Sequence[Mapping[str, str]]) -> BadRequest:
    listed = "; ".join(f"{entry['field']}: {entry['problem']}" for entry in problems[:20])
    return BadRequest(f"Bad list of files: {listed}.", code="INVALID_FILES", errors=list(problems[:100]))


def read_parts(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the parts of ``POST …/complete``, in the order of their numbers.

    Raises
    ------
    BadRequest
        It is not a list of numbers and ETags, each number once.
    """
    parts = body.get("parts")
    good = isinstance(parts, list) and all(
        isinstance(part, dict)
        and isinstance(part.get("partNumber"), int)
        and 1 <= part["partNumber"] <= 10_000
        and isinstance(part.get("etag"), str)
        and 1 <= len(part["etag"]) <= 200
        for part in parts
    )
    if not good or not parts or len({part["partNumber"] for part in parts}) != len(parts):
        raise BadRequest('"parts" must be a list of {"partNumber", "etag"}, each number once.', code="INVALID_PARTS")
    return sorted(parts, key=lambda part: int(part["partNumber"]))


class UploadService:
    """Opens uploads, completes their multipart files and returns their progress.

    Parameters
    ----------
    settings
        Table, bucket, lifetimes.
    table
        Where uploads are recorded.
    presigned
        Where their files go.
    """

    def __init__(self, settings: UploadSettings, table: UploadsTable, presigned: PresignedUploads) -> None:
        self._settings = settings
        self._table = table
        self._presigned = presigned

    def open(
        self, files: Sequence[Announced], base_url: str, opened_by: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Open an upload and return its URLs.

        Parameters
        ----------
        files
            What will be sent.
        base_url
            URL of the API, for the URLs that finish multipart files.
        opened_by
            Who sends the request, as the audit names it.
        """
        upload_id = uuid.uuid4().hex
        now = self._table.now()
        expires_at = now + self._settings.lifetime
        named = {f"{number:04d}": file for number, file in enumerate(files, start=1)}
        with ThreadPoolExecutor(8) as pool:
            large = [file_id for file_id, file in named.items() if file.parts]
            begun = pool.map(lambda file_id: self._presigned.begin_parts(staging_key(upload_id, file_id)), large)
            s3_ids = dict(zip(large, begun, strict=True))
        items = {
            file_id: {
                "name": file.name,
                "size": file.size,
                "sha256": file.sha256,
                "state": "waiting",
                "s3UploadId": s3_ids.get(file_id),
            }
            for file_id, file in named.items()
        }
        upload = {"state": OPEN, "open": OPEN, "createdAt": now, "expiresAt": expires_at, "files": len(named)}
        self._table.create(upload_id, upload | ({"openedBy": dict(opened_by)} if opened_by else {}), items)
        lifetime = self._settings.lifetime
        answers = []
        for file_id, file in named.items():
            key = staging_key(upload_id, file_id)
            if file.parts:
                complete = f"{base_url}/uploads/{upload_id}/files/{file_id}/complete"
                parts = self._presigned.parts(key, s3_ids[file_id], file.size, lifetime)
                way: dict[str, Any] = {"multipart": {"partSize": PART_SIZE, "parts": parts, "completeUrl": complete}}
            else:
                way = self._presigned.post(key, file.size, file.sha256, lifetime)
            answers.append({"fileId": file_id, "name": file.name, **way})
        return {"uploadId": upload_id, "expiresAt": iso(expires_at), "files": answers}

    def complete_file(self, upload_id: str, file_id: str, parts: Sequence[Mapping[str, Any]]) -> None:
        """Complete a multipart file; completing it again is harmless.

        Raises
        ------
        NotFound
            There is no such upload or file.
        Conflict
            It is not a multipart file, parts are missing, or the upload has expired.
        Unavailable
            The table or the bucket is unavailable.
        """
        is_id = UPLOAD_ID.fullmatch(upload_id) and FILE_ID.fullmatch(file_id)
        file = self._table.get(upload_id, file_id) if is_id else None
        if file is None:
            raise NotFound("There is no such file of such an upload.", code="NO_SUCH_UPLOAD")
        if "s3UploadId" not in file:
            raise Conflict("This file is sent with one POST and needs no completion.", code="NOT_MULTIPART")
        if file.get("reason") == EXPIRED:
            raise Conflict("The upload has expired; open a new one.", code="UPLOAD_EXPIRED")
        if "finishedAt" in file:
            return
        self._presigned.join_parts(staging_key(upload_id, file_id), file["s3UploadId"], file["size"], parts)
        self._table.received((upload_id, file_id))

    def progress(self, upload_id: str) -> dict[str, Any]:
        """Return the progress of an upload.

        Raises
        ------
        NotFound
            There is no such upload.
        Unavailable
            The table cannot be read.
        """
        items = list(self._table.items(upload_id)) if UPLOAD_ID.fullmatch(upload_id) else []
        upload = next((item for item in items if item["file"] == UPLOAD), None)
        if upload is None:
            raise NotFound("There is no such upload.", code="NO_SUCH_UPLOAD")
        files = [item for item in items if FILE_ID.fullmatch(item["file"])]
        if any(file["state"] == "waiting" for file in files):
            # It is in the bucket before that is recorded, and for long where a worker died with it.
            come = self._presigned.staged(f"{UPLOADS_PREFIX}{upload_id}/")
            here = {
                file["file"]
                for file in files
                if file["state"] == "waiting" and staging_key(upload_id, file["file"]) in come
            }
            files = [{**file, "state": "received"} if file["file"] in here else file for file in files]
        stored = stored_instances(items)
        studies = Counter(study for study, _ in stored)
        return {
            "uploadId": upload_id,
            "state": _state(upload, files),
            "createdAt": iso(upload["createdAt"]),
            "expiresAt": iso(upload["expiresAt"]),
            "instances": len(stored),
            "studies": [{"StudyInstanceUID": uid, "instances": count} for uid, count in sorted(studies.items())],
            "counts": dict(Counter(file["state"] for file in files)),
            "files": [self._file(upload_id, file, _entries_of(items, file["file"])) for file in files],
        }

    def _file(self, upload_id: str, file: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        answer = {"fileId": file["file"], "name": file["name"], "size": file["size"], "state": file["state"]}
        shown = (
            "reason",
            "detail",
            "failureReason",
            "studyInstanceUID",
            "sopInstanceUID",
            "entries",
            "reasons",
            "copies",
        )
        answer |= {name: file[name] for name in shown if name in file}
        answer["instances"] = file.get("instances", 0)
        if "finishedAt" in file and "entries" in file:
            answer["reportUrl"] = self._presigned.report_url(
                f"{REPORTS_PREFIX}{staging_key(upload_id, file['file'])}.json"
            )
        elif entries:
            answer["entries"] = dict(Counter(entry["state"] for entry in entries))
        problems = [entry for entry in entries if entry["state"] == "rejected"]
        if problems:
            answer["problems"] = problems[:_MOST_PROBLEMS]
        return answer


def _entries_of(items: Sequence[Mapping[str, Any]], file_id: str) -> list[dict[str, Any]]:
    return [entry for item in items if item["file"].startswith(f"{file_id}#") for entry in read_entries(item)]


def _state(upload: Mapping[str, Any], files: Sequence[Mapping[str, Any]]) -> str:
    if any(file.get("reason") == EXPIRED for file in files):
        return "expired"
    if all("finishedAt" in file for file in files):
        return "completed"
    return str(upload["state"])
