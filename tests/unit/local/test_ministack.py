"""The state that MiniStack starts from, and its end."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from local.ministack import rewind_streams
from local.settings import MINISTACK_ENVIRONMENT, ROOT, LocalStackError


def test_readers_of_streams_begin_anew_and_all_else_stays(tmp_path: Path) -> None:
    # GIVEN the saved state of two readers that had read some records
    state = tmp_path / "lambda.json"
    positions = {"000000000000\0us-east-1\0'one'": 17, "000000000000\0us-east-1\0'two'": 3}
    payload: dict[str, Any] = {
        "esms": {"data": {"one": {"UUID": "one"}}},
        "dynamodb_stream_positions": {"__account_region_scoped__": True, "data": positions},
    }
    state.write_text(json.dumps({"__ministack_format__": 2, "payload": payload}))
    # WHEN the streams are rewound
    rewind_streams(state)
    # THEN both begin at the start
    payload["dynamodb_stream_positions"] |= {"data": dict.fromkeys(positions, 0)}
    assert json.loads(state.read_text()) == {"__ministack_format__": 2, "payload": payload}
    assert state.stat().st_mode & 0o777 == 0o600


def test_a_first_start_has_nothing_to_rewind(tmp_path: Path) -> None:
    rewind_streams(tmp_path / "lambda.json")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("state", ['{"payload": {}}', '{"payload": null}', "[]"])
def test_a_state_of_another_shape_is_an_error_not_a_dead_stream(tmp_path: Path, state: str) -> None:
    (tmp_path / "lambda.json").write_text(state)

    with pytest.raises(LocalStackError, match="stream positions"):
        rewind_streams(tmp_path / "lambda.json")


def test_it_ends_when_its_state_is_saved_whatever_its_threads_do() -> None:
    # GIVEN a server that stops while a function runs
    program = """
import asyncio, importlib.util, sys, time
import hypercorn.asyncio

async def serve() -> None:
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
    print("saved", flush=True)

hypercorn.asyncio.serve = serve
spec = importlib.util.spec_from_file_location("server", sys.argv[1])
server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(server)
server.end_when_saved()
asyncio.run(hypercorn.asyncio.serve())
"""
    command = [
        str(MINISTACK_ENVIRONMENT / "bin" / "python"),
        "-P",
        "-c",
        program,
        str(ROOT / "local/ministack_server.py"),
    ]
    # THEN it does not wait for the function
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "saved\n"), done.stderr
