"""Uploads folders, ZIP or DICOM files through ``POST /uploads`` and says what became of each file.

    . local/.state/env && python -m scripts.upload_exam ./study cd.zip

Interrupted, the same command goes on where it stopped: what was sent is remembered in a state file beside the first
path (``--state``). With ``--zip`` small files are sent together, which costs less than a third on AWS (docs/cost.md).
URL and key come from ``--api-url`` and ``--key`` or from API_URL and SERVICE_KEY.
"""

import argparse
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import requests
from requests_toolbelt import MultipartEncoder  # type: ignore[import-untyped]
from tqdm import tqdm

from scripts.pack import pack, unpack

FILES_A_UPLOAD = 300
FILES_AT_ONCE = 8
PARTS_AT_ONCE = 4
POLL_SECONDS = 1.0
TRIES = 5
# An upload with less time left is not resumed.
SECONDS_NEEDED = 120


class UploadFailed(Exception):
    """The service or S3 rejects a request; the message has the request and the reason."""


@dataclass
class Upload:
    """One upload of some of the files."""

    upload_id: str
    expires_at: str
    files: list[dict[str, Any]]
    paths: list[str]
    sent: list[str] = field(default_factory=list)
    parts: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def in_time(self) -> bool:
        ends = datetime.fromisoformat(self.expires_at.replace("Z", "+00:00"))
        return (ends - datetime.now(UTC)).total_seconds() > SECONDS_NEEDED


class Client:
    """The API, seen from a script."""

    def __init__(self, api_url: str, key: str) -> None:
        self._url = api_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"}
        self._api = requests.Session()
        # S3 gets no Authorization header: its URLs carry their own credentials.
        self.s3 = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=FILES_AT_ONCE * PARTS_AT_ONCE)
        for scheme in ("http://", "https://"):
            self.s3.mount(scheme, adapter)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        url = path if path.startswith("http") else self._url + path
        answer = again(lambda: self._api.request(method, url, json=body, headers=self._headers, timeout=60))
        return answer.json() if answer.content else None


def again(send: Callable[[], requests.Response]) -> requests.Response:
    """Send until there is an answer that is not a server error."""
    for attempt in range(1, TRIES + 1):
        try:
            answer = send()
        except (requests.ConnectionError, requests.Timeout) as error:
            if attempt == TRIES:
                raise UploadFailed(f"no answer from {error.request.url if error.request else 'the service'}") from error
        else:
            if answer.ok:
                return answer
            if (answer.status_code < 500 and answer.status_code != 429) or attempt == TRIES:
                raise UploadFailed(f"{answer.status_code} {answer.reason}: {answer.text[:300]}")
        time.sleep(min(10, 0.5 * 2**attempt))
    raise UploadFailed("no answer")


class _Window:
    """A part of a file with a length, as `requests` sends it."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._left = file, length
        self.len = length
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


class Sender:
    """Sends the files of uploads and remembers what has arrived."""

    def __init__(self, client: Client, state: Path, bar: Any) -> None:
        self._client = client
        self._state = state
        self._bar = bar
        self._lock = threading.Lock()
        self.uploads: list[Upload] = []

    def resume(self) -> None:
        if self._state.exists():
            known = [Upload(**entry) for entry in json.loads(self._state.read_text())]
            self.uploads = [upload for upload in known if upload.in_time or len(upload.sent) == len(upload.files)]

    def remember(self, change: Callable[[], object] = lambda: None) -> None:
        with self._lock:
            change()
            draft = self._state.with_suffix(".new")
            draft.write_text(json.dumps([asdict(upload) for upload in self.uploads]))
            draft.replace(self._state)

    def forget(self) -> None:
        self._state.unlink(missing_ok=True)

    def open(self, paths: Sequence[Path]) -> None:
        """Open uploads for the files that none of the remembered ones has."""
        known = {path for upload in self.uploads for path in upload.paths}
        new = [path for path in paths if str(path) not in known]
        for start in range(0, len(new), FILES_A_UPLOAD):
            some = new[start : start + FILES_A_UPLOAD]
            files = [{"name": path.name[-300:], "size": path.stat().st_size} for path in some]
            opened = self._client.call("POST", "/uploads", {"files": files})
            paths_sent = [str(path) for path in some]
            self.uploads.append(Upload(opened["uploadId"], opened["expiresAt"], opened["files"], paths_sent))
            self.remember()

    def send(self) -> None:
        waiting = [
            (upload, file, Path(path))
            for upload in self.uploads
            for file, path in zip(upload.files, upload.paths, strict=True)
        ]
        with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
            list(pool.map(lambda entry: self._send_file(*entry), waiting))

    def _send_file(self, upload: Upload, file: dict[str, Any], path: Path) -> None:
        if file["fileId"] in upload.sent:
            self._bar.update(path.stat().st_size)
            return
        if "multipart" in file:
            self._send_parts(upload, file, path)
        else:
            again(lambda: self._post(file, path))
            self._bar.update(path.stat().st_size)
        self.remember(lambda: upload.sent.append(file["fileId"]))

    def _post(self, file: dict[str, Any], path: Path) -> requests.Response:
        with path.open("rb") as content:
            form = MultipartEncoder({**file["fields"], "file": (path.name, content, "application/octet-stream")})
            return self._client.s3.post(
                file["url"], data=form, headers={"Content-Type": form.content_type}, timeout=(10, 300)
            )

    def _send_parts(self, upload: Upload, file: dict[str, Any], path: Path) -> None:
        etags: dict[str, str] = {}
        with self._lock:
            etags = upload.parts.setdefault(file["fileId"], etags)
        parts = file["multipart"]["parts"]
        part_size = file["multipart"]["partSize"]

        def send(part: dict[str, Any]) -> None:
            number = str(part["partNumber"])
            if number not in etags:
                start = (part["partNumber"] - 1) * part_size
                answer = again(lambda: self._put(part, path, start))
                self.remember(lambda: etags.update({number: answer.headers["ETag"]}))
            self._bar.update(part["size"])

        with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
            list(pool.map(send, parts))
        body = {"parts": [{"partNumber": int(number), "etag": etag} for number, etag in etags.items()]}
        self._client.call("POST", file["multipart"]["completeUrl"], body)

    def _put(self, part: dict[str, Any], path: Path, start: int) -> requests.Response:
        with path.open("rb") as content:
            window = _Window(content, start, part["size"])
            return self._client.s3.put(part["url"], data=window, timeout=(10, 600))


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Return the files below the paths in a fixed order, without hidden ones."""

    def below(path: Path) -> Iterator[Path]:
        if path.is_dir():
            for entry in sorted(path.iterdir()):
                if not entry.name.startswith("."):
                    yield from below(entry)
        else:
            yield path

    return list(dict.fromkeys(file.resolve() for path in paths for file in below(path)))


def wait(client: Client, uploads: Sequence[Upload], timeout: float, bar: Any) -> list[dict[str, Any]]:
    """Poll until every upload has ended, or the timeout; return the progress of each."""
    ends_at = time.monotonic() + timeout
    while True:
        progress = [client.call("GET", f"/uploads/{upload.upload_id}") for upload in uploads]
        unfinished = sum(file["state"] in {"waiting", "received"} for entry in progress for file in entry["files"])
        bar.update(bar.total - unfinished - bar.n)
        if all(entry["state"] != "open" for entry in progress) or time.monotonic() > ends_at:
            return progress
        time.sleep(POLL_SECONDS)


def print_outcome(uploads: Sequence[Upload], progress: Sequence[dict[str, Any]]) -> bool:
    """Print the outcome of each file; return whether all are stored."""
    states: Counter[str] = Counter()
    for upload, entry in zip(uploads, progress, strict=True):
        for path, file in zip(upload.paths, entry["files"], strict=True):
            states[file["state"]] += 1
            why = f"  {file['reason']}: {file.get('detail', '')}" if "reason" in file else ""
            entries = ", ".join(f"{count} {state}" for state, count in file.get("entries", {}).items() if count)
            print(f"{file['state']:<14} {path}{f'  ({entries})' if entries else ''}{why}")
            for problem in file.get("problems", []):
                print(f"{'':<14}   {problem['name']}  {problem['reason']}: {problem.get('detail', '')}")
    studies = {study["StudyInstanceUID"] for entry in progress for study in entry["studies"]}
    instances = sum(entry["instances"] for entry in progress)
    ended = ", ".join(f"{count} {state}" for state, count in Counter(e["state"] for e in progress).items())
    print(f"\nuploads: {ended}; files: {dict(states)}; {instances} instances of {len(studies)} studies")
    return set(states) <= {"stored"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="upload_exam", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--api-url", default=os.environ.get("API_URL"))
    parser.add_argument("--key", default=os.environ.get("SERVICE_KEY"))
    parser.add_argument("--state", type=Path, help="where to remember what was sent")
    parser.add_argument("--zip", action="store_true", help="pack small files into ZIPs beside the state file first")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds to wait for the outcome")
    given = parser.parse_args(arguments)
    if not given.api_url or not given.key:
        parser.error("--api-url and --key, or API_URL and SERVICE_KEY, say where to upload")
    files = find_files(given.paths)
    if not files:
        parser.error("there is no file to upload")
    state = given.state or given.paths[0].resolve().with_name(f".{given.paths[0].resolve().name}.upload.json")
    zips = state.with_name(f"{state.name}.zips")
    if given.zip:
        files = pack(files, zips)
    client = Client(given.api_url, given.key)
    try:
        total = sum(path.stat().st_size for path in files)
        with tqdm(total=total, unit="B", unit_scale=True, unit_divisor=1024, desc="sent") as bar:
            sender = Sender(client, state, bar)
            sender.resume()
            sender.open(files)
            sender.send()
        with tqdm(total=sum(len(upload.files) for upload in sender.uploads), unit=" files", desc="stored") as bar:
            progress = wait(client, sender.uploads, given.timeout, bar)
    except UploadFailed as error:
        print(f"\n{error}\nRun the same command again to go on.", file=sys.stderr)
        return 2
    if all(entry["state"] != "open" for entry in progress):
        sender.forget()
        unpack(zips)
    return 0 if print_outcome(sender.uploads, progress) else 1


if __name__ == "__main__":
    sys.exit(main())
