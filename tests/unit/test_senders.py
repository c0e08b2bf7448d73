"""Senders of the benchmarks: what counts as sent, connections that close, and that a shell does not change the work."""

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from benchmarks.senders import plain
from benchmarks.servers import Servers, WorkNotDone, forget_settings
from benchmarks.staging import Staged
from local.settings import Pacs

SERVERS = Servers(Pacs("http://pacs/dicom-web"), requests.Session())
STAGED = cast(Staged, SimpleNamespace(keys=["a", "b"], fetch=str.encode))


def answering(monkeypatch: pytest.MonkeyPatch, *named: int) -> list[int]:
    """Let a PACS name so many instances as stored, one number for each request, and return those not asked for."""
    left = list(named)

    def post(*_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code = 200
        stored = ",".join(["{}"] * left.pop(0))
        answer._content = f'{{"00081199": {{"vr": "SQ", "Value": [{stored}]}}}}'.encode()
        return answer

    monkeypatch.setattr(requests.Session, "post", post)
    return left


def test_a_request_is_sent_again_until_the_pacs_names_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    left = answering(monkeypatch, 1, 2, 2)
    plain(2, 1)(SERVERS, [STAGED])
    assert left == [2]


def test_a_pacs_that_never_names_all_of_it_has_not_done_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    left = answering(monkeypatch, 1, 1, 1, 2)
    with pytest.raises(WorkNotDone):
        plain(2, 1)(SERVERS, [STAGED])
    assert left == [2]


@pytest.mark.parametrize(
    "ask", [lambda servers: servers.search("1.2"), lambda servers: servers.send("text/plain", b"").json()]
)
def test_a_connection_is_opened_again_that_the_pacs_closes_under_a_request(ask: Callable[[Servers], list[Any]]) -> None:
    # GIVEN a PACS that closes its first connection when a second request is on its way
    with socket.create_server(("127.0.0.1", 0)) as pacs, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            pacs.settimeout(5)
            for asked_again in (True, False):
                connection, _ = pacs.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
                    if asked_again:
                        connection.recv(65_536)

        serving = pool.submit(serve)
        servers = Servers(Pacs(f"http://127.0.0.1:{pacs.getsockname()[1]}"), requests.Session()).apart()
        # WHEN it is asked twice THEN it answers twice
        assert [ask(servers), ask(servers)] == [[], []]
        serving.result(10)


def test_settings_of_the_shell_change_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a shell in which the service would search for nothing and record nothing
    shell = {"SOP_CONFLICT": "pacs-decides", "AUDIT_MODE": "off", "INGEST_BATCH_PARTS": "1", "WORKITEMS": "10"}
    monkeypatch.setattr(os, "environ", dict(shell))
    # WHEN a part starts
    forget_settings()
    # THEN these are gone, and what asks for another size of a benchmark is not
    assert os.environ == {"WORKITEMS": "10"}
