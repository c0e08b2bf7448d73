"""The whole service as tests see it from outside: deployed on MiniStack, in front of a real Orthanc.

With ``STACK_ENV=local/.state/env`` the tests use the stack that ``make up`` started, which is the fast loop while
developing. Otherwise each session starts its own on free ports and stops it in the end.
"""

import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from local.orthanc import Orthanc
from local.processes import free_ports
from local.settings import Pacs, Ports, Settings
from local.stack import LocalStack
from local.tinypacs import TinyPacs

# Template parameters that make tests quicker, and one for secrets that a test makes later.
VIEWER_SECRET = "secret-of-a-viewer"
TEST_PARAMETERS: Mapping[str, str] = {
    "QuietPeriod": "2",
    "MostWrongCodes": "100000",
    "OpenRoutesPerSecond": "10000",
    "CorsOrigins": "https://portal.example.org,http://desk.localhost",
    "ViewerSecretArn": f"arn:aws:secretsmanager:*:*:secret:{VIEWER_SECRET}-*",
}


@dataclass
class Stack:
    """The deployed service, seen from outside."""

    local: LocalStack
    values: Mapping[str, str]
    http: requests.Session = field(default_factory=requests.Session)

    @property
    def api_url(self) -> str:
        return self.values["API_URL"]

    @property
    def service_key(self) -> str:
        return self.values["SERVICE_KEY"]

    @property
    def callback_key(self) -> str:
        return self.values["CALLBACK_KEY"]

    @property
    def auditor_key(self) -> str:
        return self.values["AUDITOR_KEY"]

    @property
    def staging_bucket(self) -> str:
        return self.values["STAGING_BUCKET"]

    @property
    def event_bus(self) -> str:
        return self.values["EVENT_BUS"]

    @property
    def pacs(self) -> Pacs:
        return Pacs(*(self.values[f"STACK_PACS_{name}"] for name in ("URL", "USER", "PASSWORD")))

    @property
    def orthanc(self) -> Orthanc:
        return self.local.orthanc

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of the CloudFormation stack: table names, secrets, buckets."""
        return self.local.deployment.outputs()

    @property
    def log(self) -> str:
        """Everything that MiniStack wrote so far."""
        return self.local.ministack.log

    def client(self, service: str) -> Any:
        """Give a boto3 client of the stack's cloud, acting as its administrator."""
        return self.local.deployment.client(service)

    def request(self, method: str, path: str, *, key: str | None = "", **options: Any) -> requests.Response:
        """Call the API with the service key, with another `key`, or with none (None).

        A redirect is not followed: on the local stack S3 shares host and port with the API, so the Authorization
        header would travel along, and S3 refuses two credentials.
        """
        headers = dict(options.pop("headers", None) or {})
        if key is not None:
            headers["Authorization"] = f"Bearer {key or self.service_key}"
        # Many callers at once start as many functions, all of them on a machine that has other tests to run.
        options = {"timeout": 180, "allow_redirects": False} | options
        return self.http.request(method, f"{self.api_url}{path}", headers=headers, **options)

    def pacs_request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call the PACS itself, past the service, below its DICOMweb root."""
        return requests.request(
            method, f"{self.pacs.url}{path}", auth=(self.pacs.user, self.pacs.password), timeout=60, **options
        )


@contextmanager
def temporary_settings() -> Iterator[Settings]:
    """Settings of a stack, or of one server of it, in a folder and on ports of its own."""
    with tempfile.TemporaryDirectory(prefix="dicom-service-test-") as folder:
        yield Settings(Path(folder), Ports(*free_ports(3)), parameters=TEST_PARAMETERS)


@contextmanager
def running_orthanc() -> Iterator[Orthanc]:
    """An Orthanc alone, empty."""
    with temporary_settings() as settings:
        server = Orthanc(settings)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_tiny_pacs() -> Iterator[TinyPacs]:
    """A tiny_pacs alone, empty."""
    with tempfile.TemporaryDirectory(prefix="tiny-pacs-") as folder:
        server = TinyPacs(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def own_stack(**parameters: str) -> Iterator[Stack]:
    """A stack of a test's own, deployed with other parameters."""
    with temporary_settings() as settings:
        local = LocalStack(replace(settings, parameters={**settings.parameters, **parameters}))
        try:
            yield Stack(local, local.up())
        finally:
            local.down()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The deployed service."""
    if env_file := os.environ.get("STACK_ENV"):
        yield _running_stack(Path(env_file).resolve())
        return
    with own_stack() as started:
        yield started


def _running_stack(env_file: Path) -> Stack:
    pairs = (word.partition("=") for word in shlex.split(env_file.read_text()))
    values = {name: value for name, _, value in pairs}
    state = env_file.parent
    return Stack(LocalStack(Settings(state, Ports.choose({}, state / "ports.json"))), values)
