"""The state folder, the ports and the PACS of a local stack."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# MiniStack's environment and the build cache are shared by all stacks of one clone.
SHARED = ROOT / "local" / ".state"
MINISTACK_PROJECT = ROOT / "local" / "ministack"
MINISTACK_ENVIRONMENT = SHARED / "ministack-env"

REGION = "us-east-1"
STACK_NAME = "dicom-service"
STAGE = "v1"
# The user of the stack's own Orthanc.
ORTHANC_USER = "dicom-service"
# The variables of the env file, for scripts. None of them sets `make up` (PACS_URL, API_PORT): a shell that has read
# the file with `set -a` must start the same stack as a fresh one.
ENV_FILE_NAMES = (
    "API_URL",
    "SERVICE_KEY",
    "CALLBACK_KEY",
    "AUDITOR_KEY",
    "STACK_PACS_URL",
    "STACK_PACS_USER",
    "STACK_PACS_PASSWORD",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "STAGING_BUCKET",
    "EVENT_BUS",
)
# MiniStack's administrator, which the functions never are: they run with the credentials of their own roles.
ADMINISTRATOR = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class LocalStackError(Exception):
    """The local stack cannot do what was asked; the message says what to do about it."""


_PORT_VARIABLES = {"api": "API_PORT", "orthanc_http": "ORTHANC_HTTP_PORT", "orthanc_dicom": "ORTHANC_DICOM_PORT"}


@dataclass(frozen=True)
class Ports:
    """The three ports of one stack, each with the variable that sets it."""

    api: int = 9400
    orthanc_http: int = 9401
    orthanc_dicom: int = 9402

    @classmethod
    def choose(cls, environ: Mapping[str, str], remembered: Path) -> "Ports":
        """Take each port from its variable, else from the last start, else the default."""
        values = asdict(cls())
        if remembered.exists():
            values |= json.loads(remembered.read_text())
        for name, variable in _PORT_VARIABLES.items():
            text = environ.get(variable, "")
            if not text:
                continue
            if not text.isdecimal() or not 0 < int(text) < 65536:
                raise LocalStackError(f"{variable}={text} is not a port number")
            values[name] = int(text)
        return cls(**values)


@dataclass(frozen=True)
class Pacs:
    """The DICOMweb root of a PACS and the name and password for it."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    # PACS_QUIRKS of the service: deviations of this PACS.
    quirks: str = ""

    @property
    def auth(self) -> str:
        return "basic" if self.user else "none"

    @classmethod
    def external(cls, environ: Mapping[str, str], ports: Ports) -> "Pacs | None":
        """Return the PACS that the environment names instead of Orthanc; None when it names none.

        The stack's own Orthanc is none: its address may be left in a shell that read an older env file.
        """
        url = environ.get("PACS_URL", "").rstrip("/")
        user = environ.get("PACS_USER", "")
        own = f"http://127.0.0.1:{ports.orthanc_http}/dicom-web"
        if not url or (url, user) == (own, ORTHANC_USER):
            return None
        return cls(url, user, environ.get("PACS_PASSWORD", ""), environ.get("PACS_QUIRKS", ""))


@dataclass(frozen=True)
class Settings:
    """One local stack: its state folder, its ports, and another PACS than Orthanc where one is named."""

    state: Path
    ports: Ports
    external_pacs: Pacs | None = None
    # Further template parameters, for example a short quiet period in tests.
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, state: Path = SHARED) -> "Settings":
        ports = Ports.choose(environ, state / "ports.json")
        return cls(state, ports, Pacs.external(environ, ports))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def env_file(self) -> Path:
        return self.state / "env"

    def prepare(self) -> None:
        """Make the state folder, readable by its owner alone, and write the ports there."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)
        (self.state / "ports.json").write_text(json.dumps(asdict(self.ports)))

    def aws_environment(self) -> dict[str, str]:
        """Return the variables that point boto3 and the SAM CLI to this stack alone."""
        return {
            **ADMINISTRATOR,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def say(message: str) -> None:
    """Print progress, at once even when the output is a pipe."""
    print(f"==> {message}", flush=True)
