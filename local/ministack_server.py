"""Runs MiniStack with three changes, inside MiniStack's own interpreter.

A function that raises keeps its environment, as on AWS: MiniStack ends the process of a function that raised. The
authorizer has to raise to have a call answered with 401, so each rejected call would cost the next one a cold start.

A layer is unpacked once and not for each process of each function: that took most of a cold start.

It ends when it has saved its state: otherwise it would wait for its threads, which wait for functions and queues.
"""

import hashlib
import io
import os
import shutil
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any

import hypercorn.asyncio
from ministack.app import main
from ministack.core import lambda_runtime
from ministack.core.lambda_runtime import Worker
from ministack.services import lambda_svc

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


def end_when_saved() -> None:
    """End the process once the server has stopped, which is after the state was saved."""
    serve = hypercorn.asyncio.serve

    async def serve_and_end(*arguments: Any, **named: Any) -> None:
        await serve(*arguments, **named)
        os._exit(0)

    hypercorn.asyncio.serve = serve_and_end


if __name__ == "__main__":
    keep_environments()
    share_layers(UnpackedLayers(Path(tempfile.gettempdir(), "layers")))
    end_when_saved()
    main()
