"""The local stack stops what it started, and nothing else."""

import gc
import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.processes import Server, free_ports, http_status, require_free
from local.settings import LocalStackError

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server("sleeper", tmp_path)
    yield made
    made.stop()


def test_a_started_server_is_found_again_by_another_process_of_ours(server: Server, tmp_path: Path) -> None:
    server.start(SLEEPER, os.environ, tmp_path)

    assert server.pid() is not None
    assert Server("sleeper", tmp_path).pid() == server.pid()


def test_a_server_that_outlives_its_object_is_no_leak_and_leaves_no_zombie(tmp_path: Path) -> None:
    # GIVEN a server that is started and let go of, as tests on the stack that `make up` started do
    Server("sleeper", tmp_path).start(SLEEPER, os.environ, tmp_path)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(one.message) for one in warned] == []
    # WHEN another object stops it THEN nothing is left of it
    server = Server("sleeper", tmp_path)
    pid = server.pid()
    assert pid is not None
    assert server.stop() is True
    assert not Path(f"/proc/{pid}").exists()


def test_stopping_says_whether_it_was_running(server: Server, tmp_path: Path) -> None:
    server.start(SLEEPER, os.environ, tmp_path)

    assert server.stop() is True
    assert server.stop() is False
    assert server.pid() is None


def test_a_pid_that_now_belongs_to_another_program_is_left_alone(tmp_path: Path) -> None:
    # GIVEN a pid file of an earlier run whose number this very process has now
    server = Server("sleeper", tmp_path)
    server.pid_file.write_text(json.dumps({"pid": os.getpid(), "started": "1"}))

    # THEN it is not taken for ours, and stopping does not end this process
    assert server.pid() is None
    assert server.stop() is False


def test_what_a_server_started_ends_with_it(server: Server, tmp_path: Path) -> None:
    # GIVEN a server with a worker that the server itself does not take along
    parent = "import subprocess, sys, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
    server.start([sys.executable, "-c", parent], os.environ, tmp_path)
    server.wait_until(lambda: server.tail().strip().isdigit(), seconds=30)
    worker = Path("/proc") / server.tail().strip()
    assert worker.exists()

    server.stop()

    deadline = time.monotonic() + 10
    while worker.exists() and "Z" not in (worker / "stat").read_text().rpartition(")")[2].split()[0]:
        assert time.monotonic() < deadline, "the worker is still there"
        time.sleep(0.02)


def test_a_server_that_refuses_to_end_is_ended(server: Server, tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    server.start([sys.executable, "-c", stubborn], os.environ, tmp_path)
    server.wait_until(lambda: "deaf" in server.tail(), seconds=30)

    assert server.stop(seconds=0.2) is True
    assert server.pid() is None


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(server: Server, tmp_path: Path) -> None:
    server.start([sys.executable, "-c", "raise SystemExit('no such plugin')"], os.environ, tmp_path)

    with pytest.raises(LocalStackError, match="no such plugin"):
        server.wait_until(lambda: False, seconds=30)


def test_a_busy_port_is_named_with_the_variable_that_chooses_another() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        with pytest.raises(LocalStackError, match=f"Port {port} for the API is busy.*API_PORT="):
            require_free(port, "API_PORT", "the API")


def test_free_ports_are_free_and_different() -> None:
    ports = free_ports(3)

    assert len(set(ports)) == 3
    for port in ports:
        require_free(port, "API_PORT", "the API")


def test_nobody_there_is_status_zero() -> None:
    assert http_status(f"http://127.0.0.1:{free_ports(1)[0]}/") == 0
