"""Orthanc as the local PACS: its own configuration, storage folder and credentials."""

import base64
import json
import os
import secrets
import shutil
from pathlib import Path

from local.processes import Server, http_status, require_free
from local.settings import ORTHANC_USER, ROOT, LocalStackError, Pacs, Settings, write_private

# The Orthanc of Debian and Ubuntu does not decode query values.
QUIRKS = "raw-query"
_PROGRAMS = ("/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc")
_PLUGIN_FOLDERS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc", "/usr/local/share/orthanc/plugins")
# Without the GDCM plugin: the one of Debian 12 crashes Orthanc.
_PLUGINS = ("libOrthancDicomWeb.so", "libModalityWorklists.so")


class Orthanc:
    """The PACS of one local stack."""

    def __init__(self, settings: Settings) -> None:
        self._ports = settings.ports
        self._folder = settings.state / "orthanc"
        self._env_file = settings.env_file
        self._server = Server("orthanc", settings.state)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._ports.orthanc_http}"

    @property
    def worklists(self) -> Path:
        """The folder whose .wl files the worklist plugin offers."""
        return self._folder / "worklists"

    @property
    def pid(self) -> int | None:
        return self._server.pid()

    @property
    def running(self) -> bool:
        return self.pid is not None

    def pacs(self) -> Pacs:
        return Pacs(f"{self.url}/dicom-web", ORTHANC_USER, self._password(), QUIRKS)

    def start(self) -> bool:
        """Start it and wait until it answers; False when it was running already."""
        if self._answers():
            return False
        self._server.stop()
        self.require_ports()
        for name in ("storage", "worklists"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "orthanc.json"
        write_private(configuration, json.dumps(self._configuration(), indent=2))
        self._server.start([str(_program()), str(configuration)], os.environ, self._folder)
        self._server.wait_until(self._answers, seconds=30)
        return True

    def require_ports(self) -> None:
        """Check that its ports are free, or its own."""
        if not self.running:
            require_free(self._ports.orthanc_http, "ORTHANC_HTTP_PORT", "Orthanc's DICOMweb")
            require_free(self._ports.orthanc_dicom, "ORTHANC_DICOM_PORT", "Orthanc's DICOM")

    def stop(self) -> bool:
        return self._server.stop()

    def _answers(self) -> bool:
        if not self.running:
            return False
        token = base64.b64encode(f"{ORTHANC_USER}:{self._password()}".encode()).decode()
        return http_status(f"{self.url}/system", {"Authorization": f"Basic {token}"}) == 200

    def _password(self) -> str:
        path = self._folder / "password"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, secrets.token_urlsafe(24))
        return path.read_text()

    def _configuration(self) -> dict[str, object]:
        return {
            "Name": "dicom-service local PACS",
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "Plugins": [str(path) for path in _plugins()],
            "HttpPort": self._ports.orthanc_http,
            "DicomPort": self._ports.orthanc_dicom,
            "DicomAet": "LOCALPACS",
            # Orthanc always listens on all interfaces: requests from elsewhere get 403 and no association.
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {ORTHANC_USER: self._password()},
            "DicomAlwaysAllowStore": False,
            "DicomCheckModalityHost": True,
            "DicomModalities": {"local": ["LOCALSCU", "127.0.0.1", 11112]},
            "WebDavEnabled": False,
            "DefaultEncoding": "Utf8",
            "OverwriteInstances": False,
            "StableAge": 5,
            "MaximumStorageCacheSize": 16,
            "MallocArenaMax": 2,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
            "LuaScripts": [str(ROOT / "local" / "callback.lua")],
            "NewExamCallback": {"EnvFile": str(self._env_file)},
            "Worklists": {"Enable": True, "Database": str(self.worklists)},
        }


def installed() -> bool:
    """Check whether Orthanc and its DICOMweb plugin are on this machine."""
    return any(Path(path).exists() for path in _PROGRAMS) and _find(_PLUGINS[0]) is not None


def has_to_be_installed() -> bool:
    """Check whether `make up` needs Orthanc on this machine and it is not there."""
    try:
        external = Settings.from_environment().external_pacs
    except LocalStackError:
        return False  # `make up` says what is wrong
    return external is None and not installed()


def _program() -> Path:
    found = shutil.which("Orthanc", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))
    if found is None:
        raise LocalStackError(
            "Orthanc is not installed here. Install it (apt-get install orthanc orthanc-dicomweb) or use a PACS that "
            "you have: PACS_URL=https://your.pacs/dicom-web PACS_USER=... PACS_PASSWORD=... make up"
        )
    return Path(found)


def _plugins() -> list[Path]:
    paths = [(name, _find(name)) for name in _PLUGINS]
    missing = [name for name, path in paths if path is None]
    if missing:
        raise LocalStackError(f"Orthanc's plugins {', '.join(missing)} are missing: apt-get install orthanc-dicomweb")
    return [path for _, path in paths if path is not None]


def _find(name: str) -> Path | None:
    candidates = [Path(folder) / name for folder in _PLUGIN_FOLDERS]
    return next((path for path in candidates if path.exists()), None)
