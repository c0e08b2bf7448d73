"""Background servers: started once, found again by their pid file, stopped only if the pid is still theirs."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from local.settings import LocalStackError

# Servers that this process started and has not stopped, by pid. A server may outlive the object that started it, which
# Python warns of, and this process too (`make up`); the process that stops its own child has to wait for it.
_STARTED: dict[int, subprocess.Popen[bytes]] = {}


class Server:
    """One background program of a stack.

    Parameters
    ----------
    name
        Names its pid file and its log in the folder.
    folder
        The state folder of the stack.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.pid_file = folder / f"{name}.pid"
        self.log = folder / f"{name}.log"

    def pid(self) -> int | None:
        """Return the pid of the running server; None if the system has reused the pid for another program."""
        if not self.pid_file.exists():
            return None
        known = json.loads(self.pid_file.read_text())
        started = _started_at(known["pid"])
        return int(known["pid"]) if started is not None and started == known["started"] else None

    def start(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start it in a session of its own, so that a Ctrl-C at the keyboard does not reach it."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        _STARTED[process.pid] = process
        self.pid_file.write_text(json.dumps({"pid": process.pid, "started": _started_at(process.pid)}))

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for the server to answer.

        Raises
        ------
        LocalStackError
            It ended or stayed silent; the message carries the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid() is None:
                raise LocalStackError(f"{self.name} ended as soon as it was started:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise LocalStackError(f"{self.name} did not answer within {seconds:.0f} s:\n{self.tail()}")
            time.sleep(0.1)

    def stop(self, seconds: float = 30) -> bool:
        """Terminate it, kill it after a while; return whether it was running."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            is_gone = self._gone(pid, seconds)
            # MiniStack leaves its workers behind, in the process group that it led.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            if not is_gone:
                self._gone(pid, 5)
        for ended in [started for started, process in _STARTED.items() if process.poll() is not None]:
            del _STARTED[ended]
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def tail(self, lines: int = 15) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _gone(self, pid: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.pid() == pid:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def _started_at(pid: int) -> str | None:
    """Return the start of a living process in clock ticks since boot, which makes its pid unique."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]  # Z: ended, but its parent has not looked yet


def require_free(port: int, variable: str, what: str) -> None:
    """Check that no process listens on a port yet.

    Raises
    ------
    LocalStackError
        Somebody does; the message names the port and the variable that chooses another.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 as wide as the server that follows; nothing listens here
        except OSError as error:
            raise LocalStackError(
                f"Port {port} for {what} is busy; choose another one: {variable}=... make up"
            ) from error


def free_ports(count: int) -> list[int]:
    """Return different free ports, of those that no connection going out is given.

    Linux takes ports from 32768 on for connections: between the probe and the start of a server it would hand one to
    another process. Numbers are random, since several callers choose at once.
    """
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < count:
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", random.randint(10_240, 32_000)))  # noqa: S311  (spreads callers, guards nothing)
                found.append(int(probe.getsockname()[1]))
        return found


def http_status(url: str, headers: Mapping[str, str] | None = None, timeout: float = 5) -> int:
    """Return the status of a GET, 0 without an answer."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
