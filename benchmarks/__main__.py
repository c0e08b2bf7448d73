"""`make bench`: runs every part, or those named, each in a process of its own, and prints one table.

A part that missed an aim runs twice more, and the median counts (`benchmarks.again`). A part that ends with an error is
in the table too, and the next one runs. The exit code is 1 where an aim was missed or
work was not done, 2 for a name that is no part.
"""

import importlib
import os
import pkgutil
import platform
import sys
import time
from functools import partial

import benchmarks
from benchmarks.again import settled
from benchmarks.part import run, stop_in_order
from benchmarks.table import Result, show, summary


def main(names: list[str]) -> int:
    """Run the parts of these names, all of them without one."""
    known = parts()
    if unknown := sorted(set(names) - set(known)):
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    results: list[Result] = []
    for name in names or known:
        print(f"… {name}", file=sys.stderr, flush=True)
        results.append(settled(run(name, f"benchmarks.{name}"), partial(_once_more, name)))
    print(f"\n{time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, {os.cpu_count()} cores", end="")
    print(f", load {load:.1f} before the start\n")
    print(show(row for result in results for row in result.rows))
    print(f"\n{summary(results)}")
    return 0 if all(result.good for result in results) else 1


def _once_more(name: str) -> Result:
    print(f"… {name} once more: an aim was missed", file=sys.stderr, flush=True)
    return run(name, f"benchmarks.{name}")


def parts() -> list[str]:
    """Return the modules of this package that measure something."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    return [name for name in names if hasattr(importlib.import_module(f"benchmarks.{name}"), "measure")]


if __name__ == "__main__":
    stop_in_order()
    sys.exit(main(sys.argv[1:]))
