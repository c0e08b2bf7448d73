"""Runs MiniStack with two changes, inside MiniStack's own interpreter.

A function that raises keeps its environment, as on AWS: MiniStack ends the process of a function that raised. The
authorizer has to raise to have a call answered with 401, so each rejected call would cost the next one a cold start.

It ends when it has saved its state: otherwise it would wait for its threads, which wait for functions and queues.
"""

import os
from typing import Any

import hypercorn.asyncio
from ministack.app import main
from ministack.core import lambda_runtime
from ministack.core.lambda_runtime import Worker

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


def end_when_saved() -> None:
    """End the process once the server has stopped, which is after the state was saved."""
    serve = hypercorn.asyncio.serve

    async def serve_and_end(*arguments: Any, **named: Any) -> None:
        await serve(*arguments, **named)
        os._exit(0)

    hypercorn.asyncio.serve = serve_and_end


if __name__ == "__main__":
    keep_environments()
    end_when_saved()
    main()
