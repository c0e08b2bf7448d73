"""Runs MiniStack with changes, inside MiniStack's own interpreter.

A function that raises keeps its environment, as on AWS: MiniStack ends the process of a function that raised. The
authorizer has to raise to have a call answered with 401, so each rejected call would cost the next one a cold start.

A layer is unpacked once and not for each process of each function: that took most of a cold start.

It ends when it has saved its state: otherwise it would wait for its threads, which wait for functions and queues.

It signs people in to the desk, once for each link that `make up` has printed (sign_ins.py).

With ``RECORD_AWS_CALLS`` it writes each different call that a role made to a file of that folder (tests/iam_calls).
With ``FAIL_AWS_CALLS`` it answers that share of the functions' requests as AWS does at times and MiniStack never.
"""

import hashlib
import importlib.util
import io
import json
import os
import random
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import hypercorn.asyncio
from ministack.app import main
from ministack.core import iam_evaluator, lambda_runtime
from ministack.core.lambda_runtime import Worker
from ministack.services import lambda_svc

# What AWS answers when it is busy; whoever asked is to ask again.
_FAILURES = {"dynamodb": "ThrottlingException", "s3": "SlowDown", "sqs": "ThrottlingException"}
_SINGLE_WRITES = frozenset({"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"})
_ERROR = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'


def keep_environments() -> None:
    """Return an error as an answer where MiniStack decides about the process, and raise it behind that."""
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(_ERROR) != 1:
        raise SystemExit("A function's process answers otherwise than expected: is this another MiniStack?")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_ERROR, f'{{"status": "ok", "raised": {_ERROR}}}')
    invoke = Worker.invoke

    def invoke_and_keep(worker: Worker, *arguments: Any, **named: Any) -> dict[str, Any]:
        answer: dict[str, Any] = invoke(worker, *arguments, **named)
        raised: dict[str, Any] = answer.pop("raised", {})
        return answer | raised

    Worker.invoke = invoke_and_keep


class UnpackedLayers:
    """The folders of layers, by content: each is made once, whole or not at all.

    Parameters
    ----------
    folder
        Where they are; what an earlier run left there is deleted.
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._lock = threading.Lock()

    def unpack(self, archive: bytes) -> Path:
        """Return the folder with what is in the ZIP of a layer."""
        target = self._folder / hashlib.sha256(archive).hexdigest()
        with self._lock:
            if not target.exists():
                self._folder.mkdir(parents=True, exist_ok=True)
                begun = tempfile.mkdtemp(dir=self._folder)
                zipfile.ZipFile(io.BytesIO(archive)).extractall(begun)
                Path(begun).rename(target)
        return target


def share_layers(layers: UnpackedLayers) -> None:
    """Start processes of functions on layers that are unpacked already."""
    spawn = Worker._spawn

    def spawn_on_shared(worker: Worker) -> None:
        config = worker.config
        archives = map(lambda_svc._resolve_layer_zip, config.get("Layers", []))
        folders = os.pathsep.join(str(layers.unpack(archive)) for archive in archives if archive)
        # The name by which MiniStack tells the process where it has unpacked the layers itself.
        variables = config.get("Environment", {}).get("Variables", {}) | {"_LAMBDA_LAYERS_DIRS": folders}
        worker.config = config | {"Layers": [], "Environment": {"Variables": variables}}
        try:
            spawn(worker)
        finally:
            worker.config = config

    Worker._spawn = spawn_on_shared


def sign_in_at_the_desk(folder: Path) -> None:
    """Answer at one more path, before MiniStack does."""
    # By its place: this folder is no place to import from, since it has a module with the name of MiniStack's package.
    spec = importlib.util.spec_from_file_location("sign_ins", Path(__file__).with_name("sign_ins.py"))
    assert spec and spec.loader  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    serve = hypercorn.asyncio.serve

    async def serve_both(app: Any, *arguments: Any, **named: Any) -> None:
        await serve(module.hand_out(app, module.SignIns(folder)), *arguments, **named)

    hypercorn.asyncio.serve = serve_both


def end_when_saved() -> None:
    """End the process once the server has stopped, which is after the state was saved."""
    serve = hypercorn.asyncio.serve

    async def serve_and_end(*arguments: Any, **named: Any) -> None:
        await serve(*arguments, **named)
        os._exit(0)

    hypercorn.asyncio.serve = serve_and_end


def _without_names(arn: str) -> str:
    """Leave of an object's key its first folder, and its end where that is a word: else it is a line an object."""
    bucket, *folders = arn.split("/")
    if ":s3:::" not in arn or not folders:
        return arn
    end = [folders[-1]] if len(folders) > 2 and folders[-1].isalpha() else []
    return "/".join([bucket, folders[0], "*", *end] if len(folders) > 1 else [bucket, "*"])


def record_calls(folder: Path) -> None:
    """Append a line for each action that a role used on a resource, where its policies are looked at."""
    folder.mkdir(parents=True, exist_ok=True)
    evaluate, lock = iam_evaluator.evaluate, threading.Lock()
    seen: set[tuple[str, ...]] = set()

    def evaluate_and_record(context: Any, *policies: Any) -> Any:
        result = evaluate(context, *policies)
        role = context.principal_arn.partition(":assumed-role/")[2].partition("/")[0]
        call = (role, context.action, _without_names(context.resource_arn), result.decision)
        with lock:
            if role and call not in seen:
                seen.add(call)
                with (folder / f"{os.getpid()}.jsonl").open("a") as lines:
                    lines.write(json.dumps(call) + "\n")
        return result

    iam_evaluator.evaluate = evaluate_and_record


def fail_calls(share: float) -> None:
    """Fail this share of what functions ask of DynamoDB, S3 and SQS, where their rights are looked at."""
    enforce, chance = iam_evaluator.enforce, random.Random(0)  # noqa: S311 which requests, not who gets in

    def enforce_or_fail(access_key: str, action: str, service: str, *arguments: Any, **named: Any) -> Any:
        signed = iam_evaluator._signed_request.get()  # which the first look at the request's rights takes away
        denied = enforce(access_key, action, service, *arguments, **named)
        is_function = signed is not None and not signed.presigned  # who has a presigned URL is no SDK
        if denied is not None or not is_function or service not in _FAILURES or chance.random() >= share:
            return denied
        code = _FAILURES[service]
        if action in _SINGLE_WRITES and chance.random() < 0.5:
            code = "TransactionConflictException"
        print(f"AWS fails: {code} for {action}", flush=True)
        return iam_evaluator.AuthError(code, "A failure that the tests put in.")

    iam_evaluator.enforce = enforce_or_fail


if __name__ == "__main__":
    keep_environments()
    share_layers(UnpackedLayers(Path(tempfile.gettempdir(), "layers")))
    if calls := os.environ.get("RECORD_AWS_CALLS"):
        record_calls(Path(calls))
    if share := os.environ.get("FAIL_AWS_CALLS"):
        fail_calls(float(share))
    sign_in_at_the_desk(Path(os.environ["STATE_DIR"]).with_name("sign-ins"))
    end_when_saved()
    main()
