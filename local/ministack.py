"""Runs MiniStack: the AWS services on one loopback port, without Docker and without an account."""

import json
import os
from pathlib import Path

from local.processes import Server, http_status, require_free
from local.settings import (
    ADMINISTRATOR,
    MINISTACK_ENVIRONMENT,
    MINISTACK_PROJECT,
    REGION,
    LocalStackError,
    Settings,
    write_private,
)
from local.sign_ins import SignIns

_SERVER = Path(__file__).parent / "ministack_server.py"
# Of the caller's environment, which the server and the functions see nothing else of.
_HANDED_ON = ("RECORD_AWS_CALLS", "FAIL_AWS_CALLS")


class MiniStack:
    """The cloud of one local stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.state / "ministack"
        self._server = Server("ministack", settings.state)

    @property
    def pid(self) -> int | None:
        """The process while it runs."""
        return self._server.pid()

    @property
    def sign_ins(self) -> SignIns:
        """The sign-ins to the desk that this server hands out."""
        return SignIns(self._folder / "sign-ins")

    @property
    def log(self) -> str:
        """The log of MiniStack and of the functions."""
        return self._server.log.read_text(errors="replace")

    def start(self) -> bool:
        """Start it and wait until it answers; False when it was running already."""
        if self._answers():
            return False
        self._server.stop()
        self.require_ports()
        python = MINISTACK_ENVIRONMENT / "bin" / "python"
        if not python.exists():
            raise LocalStackError(f"{MINISTACK_ENVIRONMENT} is missing; local/bootstrap.sh makes it")
        for name in ("state", "s3", "home", "tmp"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        rewind_streams(self._folder / "state" / "lambda.json")
        # -P: a module of this folder has the name of MiniStack's own package
        self._server.start([str(python), "-P", str(_SERVER)], self._environment(), MINISTACK_PROJECT)
        self._server.wait_until(self._answers, seconds=60)
        return True

    def require_ports(self) -> None:
        """Check that its port is free, or its own."""
        if self._server.pid() is None:
            require_free(self._settings.ports.api, "API_PORT", "the API")

    def stop(self) -> bool:
        """Stop it; on SIGTERM it saves its state."""
        return self._server.stop()

    def _answers(self) -> bool:
        return self._server.pid() is not None and http_status(f"{self._settings.endpoint}/_ministack/health") == 200

    def _environment(self) -> dict[str, str]:
        # The functions inherit this one.
        return {
            **ADMINISTRATOR,
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._folder / "tmp"),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self._settings.ports.api),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "AUTH": "true",
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self._folder / "state"),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._folder / "s3"),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "LAMBDA_WARM_TTL_SECONDS": "3600",
            "LOG_LEVEL": "INFO",
            **{name: os.environ[name] for name in _HANDED_ON if name in os.environ},
        }


def rewind_streams(state: Path) -> None:
    """Reset every reader of a table's stream to its beginning, in the state that MiniStack reads when it starts.

    It keeps how many records a reader has read, and not the records: after a restart the stream is empty, and the
    reader would pass over as many new records as it had read before.

    Raises
    ------
    LocalStackError
        The state does not look as it does in the version of MiniStack that is locked.
    """
    if not state.exists():
        return
    saved = json.loads(state.read_text())
    try:
        positions = saved["payload"]["dynamodb_stream_positions"]["data"]
    except (KeyError, TypeError) as error:
        raise LocalStackError(f"{state} has no stream positions: is it of another MiniStack? make reset") from error
    # 0, not nothing: a reader without a position that begins at LATEST would miss the first records.
    saved["payload"]["dynamodb_stream_positions"]["data"] = dict.fromkeys(positions, 0)
    write_private(state, json.dumps(saved))
