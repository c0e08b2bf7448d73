"""Runs one part of the benchmarks in a process of its own: what it imports, remembers and breaks is no other part's."""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict

from benchmarks.table import Result, Row


def run(name: str, module: str) -> Result:
    """Run a part and return what it measured, even when it ended with an error; the error is on stderr."""
    # What the part before has written would go to the disk while this one is timed.
    os.sync()
    started = time.monotonic()
    with tempfile.NamedTemporaryFile() as file:
        process = subprocess.Popen([sys.executable, "-m", "benchmarks.part", module, file.name])
        try:
            code = process.wait()
        finally:
            # Where this process was asked to stop: the part stops its servers.
            process.terminate()
            process.wait()
        rows = tuple(Row(**json.loads(line)) for line in file)
    return Result(name, rows, time.monotonic() - started, is_done=code == 0)


def main(module: str, path: str) -> None:
    """Write the rows of one part to a file, line by line."""
    with open(path, "a", encoding="utf-8") as file:
        for row in importlib.import_module(module).measure():
            print("  " + "  ".join(row.cells()), file=sys.stderr, flush=True)
            print(json.dumps(_fields(row)), file=file, flush=True)


def _fields(row: Row) -> dict[str, object]:
    # Of several runs there is nothing yet: this is one.
    return {name: value for name, value in asdict(row).items() if name != "runs"}


def stop_in_order() -> None:
    """Let SIGTERM and SIGINT end this process by an exception, once, so that it stops the servers that it started."""

    def stop(number: int, _: object) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, stop)


if __name__ == "__main__":
    stop_in_order()
    main(*sys.argv[1:])
