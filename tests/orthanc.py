"""A real Orthanc for tests: own settings, own storage, free ports, credentials on; started and stopped with them."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

EXECUTABLE = "Orthanc"
PLUGIN_FOLDERS = (Path("/usr/share/orthanc/plugins"), Path("/usr/lib/orthanc/plugins"))
START_SECONDS = 30.0


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def plugin(name: str) -> str:
    """Path of one of Orthanc's plugins. Only those needed are loaded: the GDCM one crashes the Debian build."""
    for folder in PLUGIN_FOLDERS:
        if (folder / name).exists():
            return str(folder / name)
    raise FileNotFoundError(f"{name} is in none of {[str(folder) for folder in PLUGIN_FOLDERS]}")


class OrthancServer:
    """One Orthanc process; a context manager.

    Parameters
    ----------
    storage
        Folder for its database, files, settings and log; one of its own, deleted at the end, when not given.
    http_port, dicom_port
        Otherwise free ones.
    extra
        Further settings, laid over those here.
    """

    def __init__(
        self,
        storage: Path | None = None,
        *,
        http_port: int | None = None,
        dicom_port: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._own_folder = None if storage else tempfile.TemporaryDirectory(prefix="orthanc-")
        self.storage = storage or Path(self._own_folder.name if self._own_folder else "")
        self.http_port = http_port or free_port()
        self.dicom_port = dicom_port or free_port()
        self.username = "tests"
        self.password = secrets.token_hex(12)
        self._extra = dict(extra or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Root of its own REST API, without credentials."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicomweb_url(self) -> str:
        return f"{self.url}/dicom-web"

    @property
    def auth(self) -> tuple[str, str]:
        return self.username, self.password

    def settings(self) -> dict[str, Any]:
        return {
            "Name": "tests",
            "StorageDirectory": str(self.storage),
            "IndexDirectory": str(self.storage),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.username: self.password},
            "DefaultEncoding": "Utf8",
            "MaximumStorageCacheSize": 16,
            "MallocArenaMax": 2,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "StableAge": 1,
            "OverwriteInstances": False,
            "Plugins": [plugin("libOrthancDicomWeb.so")],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
            **self._extra,
        }

    def start(self) -> None:
        """Start it and wait until it answers; FileNotFoundError when Orthanc is not installed."""
        self.storage.mkdir(parents=True, exist_ok=True)
        settings = self.storage / "orthanc.json"
        settings.write_text(json.dumps(self.settings()))
        settings.chmod(0o600)
        with (self.storage / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen([EXECUTABLE, str(settings)], stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("Orthanc does not start:\n" + (self.storage / "orthanc.log").read_text()[-2000:])
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it, by its process id, and wait until it is gone."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def clear(self) -> None:
        """Delete all it holds."""
        with requests.Session() as session:
            session.auth = self.auth
            for patient in session.get(f"{self.url}/patients", timeout=10).json():
                session.delete(f"{self.url}/patients/{patient}", timeout=10).raise_for_status()

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.dicomweb_url}/studies?limit=1", auth=self.auth, timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._own_folder is not None:
            self._own_folder.cleanup()
