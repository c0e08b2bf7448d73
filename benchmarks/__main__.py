"""`make bench`: runs every benchmark, or those named, and prints one table."""

import importlib
import os
import pkgutil
import platform
import signal
import sys
import time

import benchmarks
from benchmarks.table import Row, show


def main(names: list[str]) -> int:
    rows: list[Row] = []
    for name in names or all_benchmarks():
        print(f"… {name}", file=sys.stderr, flush=True)
        for row in importlib.import_module(f"benchmarks.{name}").measure():
            print("  " + "  ".join(row.cells()), file=sys.stderr, flush=True)
            rows.append(row)
    print(f"\n{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores\n")
    print(show(rows))
    return 1 if any(row.met is False for row in rows) else 0


def all_benchmarks() -> list[str]:
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    return [name for name in names if hasattr(importlib.import_module(f"benchmarks.{name}"), "measure")]


if __name__ == "__main__":
    # Asked to stop, a benchmark still stops the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
