"""The deployment under test: its API, its stack, and made-up exams to send to it."""

import io
import time
import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import boto3
import requests
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from scripts.redrive import outputs

T = TypeVar("T")


class Failed(Exception):
    """A check did not hold; the message says what came instead. It holds no credential."""


class Impossible(Exception):
    """A check cannot be made here; the message says why."""


@dataclass
class Deployment:
    """One stack and its API.

    Parameters
    ----------
    stack
        Name of the CloudFormation stack.
    api_url, key
        The API and a service key.
    custom_url
        The API's own name, if it has one.
    is_local
        Whether the cloud is an emulator, which does not enforce everything.
    patience
        Seconds to wait for what is asynchronous; on AWS the first events of a new bucket take five minutes.
    webhook_url, webhook_port
        One of `CallbackUrls`, and the port of this machine that it leads to.
    alarm
        Whether to wait for an alarm.
    """

    stack: str
    api_url: str
    key: str
    custom_url: str | None = None
    is_local: bool = False
    patience: float = 400
    webhook_url: str | None = None
    webhook_port: int = 8080
    alarm: bool = False
    http: requests.Session = field(default_factory=requests.Session)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of the stack."""
        return outputs(self.stack)

    def aws(self, service: str) -> Any:
        """Return a client of AWS with the credentials of the environment."""
        return boto3.client(service)  # type: ignore[call-overload]

    def call(self, method: str, path: str, *, key: str | None = "", **options: Any) -> requests.Response:
        """Call the API with the service key, another one, or none (None)."""
        headers = dict(options.pop("headers", None) or {})
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.key}"
        options = {"timeout": 60, "allow_redirects": False} | options
        url = path if path.startswith("http") else f"{self.api_url}{path}"
        return self.http.request(method, url, headers=headers, **options)

    def open_upload(self, *files: dict[str, Any]) -> dict[str, Any]:
        """Open an upload of these files."""
        answer = self.call("POST", "/uploads", json={"files": list(files)})
        expect(answer.status_code, 201, "POST /uploads")
        opened: dict[str, Any] = answer.json()
        return opened

    def upload(self, *contents: bytes, name: str = "smoke.dcm") -> str:
        """Send files by their forms and return the upload's id."""
        opened = self.open_upload(*({"name": name, "size": len(content)} for content in contents))
        for file, content in zip(opened["files"], contents, strict=True):
            expect(post_form(file, content).status_code, 204, "the presigned form")
        return str(opened["uploadId"])

    def finished(self, upload_id: str) -> dict[str, Any]:
        """Wait until an upload has ended and return its progress."""

        def ended() -> dict[str, Any] | None:
            progress: dict[str, Any] = self.call("GET", f"/uploads/{upload_id}").json()
            return progress if progress.get("state") != "open" else None

        return self.wait(ended, "the upload is still open")

    def wait(self, look: Callable[[], T | None], otherwise: str, patience: float | None = None) -> T:
        """Look again until something is there."""
        patience = patience or self.patience
        ends_at = time.monotonic() + patience
        while time.monotonic() < ends_at:
            if found := look():
                return found
            time.sleep(1)
        raise Failed(f"{otherwise} after {patience:.0f} s")


def post_form(file: dict[str, Any], content: bytes) -> requests.Response:
    """Send a file by its presigned form."""
    return requests.post(file["url"], data=file["fields"], files={"file": content}, timeout=120)


def expect(found: object, wanted: object, what: str) -> None:
    """Fail where something is not as it should be."""
    if found != wanted:
        raise Failed(f"{what}: {found} instead of {wanted}")


def instance(study: str, *, size: int = 0, number: int = 1) -> bytes:
    """Make a DICOM file of a made-up patient, `SMOKE`; `size` bytes of it are a private element."""
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = new_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.1"
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = "SMOKE", "SMOKE^TEST", "19700101"
    dataset.Modality, dataset.InstanceNumber, dataset.AccessionNumber = "OT", number, "SMOKE"
    if size:
        dataset.private_block(0x0009, "SMOKE", create=True).add_new(1, "OB", bytes(size + size % 2))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def new_uid() -> str:
    """Return a UID that nobody has."""
    return f"2.25.{uuid.uuid4().int}"


def zipped(*contents: bytes) -> bytes:
    """Pack files into a ZIP, not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"{number}.dcm", content)
    return buffer.getvalue()
