"""Sign-ins to the desk of a local stack: once, for an hour, for whoever has the code."""

import asyncio
import base64
import hashlib
import json
import re
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from local.sign_ins import LIVES, PATH, SignIns, hand_out

ANSWER = {"desk": "http://127.0.0.1/desk", "session": {"name": "local"}}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sign_ins(tmp_path: Path, clock: Clock) -> SignIns:
    return SignIns(tmp_path / "sign-ins", clock=clock)


def test_a_code_is_taken_once_and_leaves_nothing_behind(sign_ins: SignIns, tmp_path: Path) -> None:
    code, other = sign_ins.register(ANSWER), sign_ins.register(ANSWER)
    assert sign_ins.take(code) == ANSWER
    assert sign_ins.take(code) is None
    assert sign_ins.take(other) == ANSWER
    assert [path.name for path in tmp_path.rglob("*")] == ["sign-ins"]


def test_of_many_at_once_one_gets_in(sign_ins: SignIns) -> None:
    code = sign_ins.register(ANSWER)
    gate, got = threading.Barrier(16), []

    def take() -> None:
        gate.wait()
        got.append(sign_ins.take(code))

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 16
    assert [each for each in got if each] == [ANSWER]


def test_after_an_hour_it_is_none_and_the_next_registration_removes_it(
    sign_ins: SignIns, clock: Clock, tmp_path: Path
) -> None:
    first, second, never = (sign_ins.register(ANSWER) for _ in range(3))
    clock.now += LIVES
    assert sign_ins.take(first) == ANSWER
    clock.now += 1
    assert sign_ins.take(second) is None
    sign_ins.register(ANSWER)
    names = {path.name for path in (tmp_path / "sign-ins").iterdir()}
    assert len(names) == 1
    assert hashlib.sha256(never.encode()).hexdigest() not in names


def test_others_of_the_machine_read_nothing_and_the_code_is_not_there(sign_ins: SignIns, tmp_path: Path) -> None:
    code = sign_ins.register(ANSWER)
    [file] = (tmp_path / "sign-ins").iterdir()
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert code not in file.name + file.read_text()


@pytest.mark.parametrize("code", ["", "unknown", "../keys.json", "a" * 500])
def test_what_was_not_registered_opens_nothing(sign_ins: SignIns, tmp_path: Path, code: str) -> None:
    (tmp_path / "keys.json").write_text("{}")
    sign_ins.register(ANSWER)
    assert sign_ins.take(code) is None


def ask(sign_ins: SignIns, method: str, path: str = PATH, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
    """Ask the application; what is not its path is answered 299 by the one behind it."""
    sent: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    messages.append({"type": "http.request", "body": b""})

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def behind(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b"behind"})

    answering = hand_out(behind, sign_ins)({"type": "http", "method": method, "path": path}, receive, send)
    # In a thread of its own: where a browser was started before, this one has a loop already.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, answering).result()
    start, body = sent
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


def test_the_page_uses_nothing_up_and_the_second_to_send_the_code_is_refused(sign_ins: SignIns) -> None:
    code = sign_ins.register(ANSWER).encode()
    assert ask(sign_ins, "GET")[0] == 200
    status, headers, body = ask(sign_ins, "POST", PATH, code[:10], code[10:])
    assert (status, json.loads(body), headers["cache-control"]) == (200, ANSWER, "no-store")
    assert "access-control-allow-origin" not in headers
    status, _, body = ask(sign_ins, "POST", PATH, code)
    assert (status, body) == (410, b"null")
    assert ask(sign_ins, "POST", PATH, b"\xff" * 300)[0] == 410
    assert ask(sign_ins, "DELETE")[0] == 405


def test_its_policy_runs_the_script_of_the_page_and_no_other(sign_ins: SignIns) -> None:
    _, headers, body = ask(sign_ins, "GET")
    [script] = re.findall(rb"<script[^>]*>(.*?)</script>", body, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in headers["content-security-policy"]


def test_all_else_is_left_to_the_application_behind(sign_ins: SignIns) -> None:
    assert ask(sign_ins, "GET", f"{PATH}/more")[0] == 299
    assert ask(sign_ins, "POST", "/")[2] == b"behind"
