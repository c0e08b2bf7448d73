"""Where the local stack keeps its things and on which ports it listens."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The environment of MiniStack and the build cache are the same for every stack of one clone.
SHARED = ROOT / "local" / ".state"
MINISTACK_PROJECT = ROOT / "local" / "ministack"
MINISTACK_ENVIRONMENT = SHARED / "ministack-env"

REGION = "us-east-1"
STACK_NAME = "dicom-service"
STAGE = "v1"
# MiniStack's administrator, which the functions never are: they run with the credentials of their own roles.
ADMINISTRATOR = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


class LocalStackError(Exception):
    """The local stack cannot do what was asked; the message tells the person at the keyboard what to do."""


_PORT_VARIABLES = {"api": "API_PORT", "orthanc_http": "ORTHANC_HTTP_PORT", "orthanc_dicom": "ORTHANC_DICOM_PORT"}


@dataclass(frozen=True)
class Ports:
    """The three ports of one stack, each with the variable that sets it."""

    api: int = 9400
    orthanc_http: int = 9401
    orthanc_dicom: int = 9402

    @classmethod
    def choose(cls, environ: Mapping[str, str], remembered: Path) -> "Ports":
        """Take each port from its variable, else as remembered from the last start, else the default."""
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
    # PACS_QUIRKS of the service: what this PACS does its own way.
    quirks: str = ""

    @property
    def auth(self) -> str:
        return "basic" if self.user else "none"


@dataclass(frozen=True)
class Settings:
    """One local stack: its state folder, its ports, and the PACS of somebody else's where one is named."""

    state: Path
    ports: Ports
    external_pacs: Pacs | None = None
    # Further template parameters, for example a short quiet period in tests.
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        state = SHARED
        url = environ.get("PACS_URL", "")
        external = None
        if url:
            user, password = environ.get("PACS_USER", ""), environ.get("PACS_PASSWORD", "")
            external = Pacs(url.rstrip("/"), user, password, environ.get("PACS_QUIRKS", ""))
        return cls(state, Ports.choose(environ, state / "ports.json"), external)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    @property
    def env_file(self) -> Path:
        return self.state / "env"

    def prepare(self) -> None:
        """Make the state folder, readable by its owner alone, and remember the ports."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)
        (self.state / "ports.json").write_text(json.dumps(asdict(self.ports)))

    def aws_environment(self) -> dict[str, str]:
        """The variables with which boto3 and the SAM CLI talk to this stack and to nothing else."""
        return {
            **ADMINISTRATOR,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, all or nothing."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def say(message: str) -> None:
    """Tell what is going on, at once even when the output is a pipe."""
    print(f"==> {message}", flush=True)
