"""Runs one function for `table.in_child` and prints what memory the process took."""

import importlib
import json
import sys

from benchmarks.table import resident


def main() -> None:
    module, _, function = sys.argv[1].partition(":")
    call = getattr(importlib.import_module(module), function)
    idle, _ = resident()
    result = call(*sys.argv[2:])
    _, peak = resident()
    print(json.dumps({"idle": idle, "peak": peak, "result": result}))


if __name__ == "__main__":
    main()
