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


def run_with_server(program: str) -> "subprocess.CompletedProcess[str]":
    """Run a program in MiniStack's interpreter, with the changes to MiniStack as the module `server`."""
    load = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("server", sys.argv[1])
server = importlib.util.module_from_spec(spec)
spec.loader.exec_module(server)
"""
    python = str(MINISTACK_ENVIRONMENT / "bin" / "python")
    command = [python, "-P", "-c", load + program, str(ROOT / "local/ministack_server.py")]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_processes_of_functions_share_the_folder_of_an_unpacked_layer(tmp_path: Path) -> None:
    # GIVEN a function that imports from a layer
    program = f"""
import io, zipfile
from pathlib import Path
from ministack.core.lambda_runtime import Worker, kill_workers
from ministack.services import lambda_svc

def packed(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, text)
    return buffer.getvalue()

layer = packed("python/shared.py", "def place(event, context): return [event, __file__]")
lambda_svc._resolve_layer_zip = lambda attached: layer if attached == "a layer" else None
config = {{"Runtime": "python3", "Handler": "app.place", "Layers": ["a layer", "gone"]}}
config["FunctionArn"] = "arn:aws:lambda:us-east-1:000000000000:function:one"
server.share_layers(server.UnpackedLayers(Path({str(tmp_path)!r}, "layers")))
workers = [Worker("one", config, packed("app.py", "from shared import place")) for _ in range(2)]
# WHEN two processes of it run
answers = [worker.invoke(number, "an id") for number, worker in enumerate(workers)]
for number, (worker, answer) in enumerate(zip(workers, answers)):
    sent, place = answer["result"]
    print(sent, Path(place).relative_to({str(tmp_path)!r}).parts[0], worker.config is config)
print(len({{answer["result"][1] for answer in answers}}), len(list(Path({str(tmp_path)!r}, "layers").iterdir())))
kill_workers(workers)
"""
    done = run_with_server(program)
    # THEN both have it from the one folder, and what MiniStack knows of the function is as it was
    assert (done.returncode, done.stdout) == (0, "0 layers True\n1 layers True\n1 1\n"), done.stderr


def test_it_ends_when_its_state_is_saved_whatever_its_threads_do() -> None:
    # GIVEN a server that stops while a function runs
    program = """
import asyncio, time
import hypercorn.asyncio

async def serve() -> None:
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
    print("saved", flush=True)

hypercorn.asyncio.serve = serve
server.end_when_saved()
asyncio.run(hypercorn.asyncio.serve())
"""
    done = run_with_server(program)
    # THEN it does not wait for the function
    assert (done.returncode, done.stdout) == (0, "saved\n"), done.stderr


def test_requests_of_functions_fail_and_no_presigned_ones() -> None:
    # GIVEN a look at rights that takes the signature away as MiniStack's does, and failures of every request
    program = """
from ministack.core import iam_evaluator

def enforce(key: str, action: str, service: str) -> None:
    iam_evaluator.authenticate(key, "000000000000")
    print(iam_evaluator._signed_request.get())

iam_evaluator.enforce = enforce
server.fail_calls(1.0)
for service, presigned in (("dynamodb", False), ("s3", False), ("s3", True), ("events", False)):
    request = iam_evaluator.SignedRequest("AKIA1", "POST", "/", {}, {}, presigned=presigned)
    iam_evaluator._signed_request.set(request)
    denied = iam_evaluator.enforce("AKIA1", service + ":GetItem", service)
    print(service, presigned, denied and denied.code)
"""
    done = run_with_server(program)
    # THEN those of functions to the stores fail
    told = [line for line in done.stdout.splitlines() if not line.startswith("AWS fails")]
    assert (done.returncode, told) == (
        0,
        [
            *("None", "dynamodb False ThrottlingException", "None", "s3 False SlowDown"),
            *("None", "s3 True None", "None", "events False None"),
        ],
    ), done.stderr
    assert done.stdout.count("AWS fails: ") == 2
