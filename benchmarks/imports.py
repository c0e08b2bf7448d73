"""Cold starts: what each built function imports before its first request, against what every function needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.servers import WorkNotDone
from benchmarks.table import Pairs, Row, in_turn
from local.artifacts import Artifacts
from local.build import ensure_build

AIM = 1.3
# Each round takes all functions. Measured one after the other, a few fell into a slow moment of the machine with all
# their rounds: one was at 1.30, and at 1.21 and 1.23 in the same hour.
ROUNDS = 9
# What every function of this kind imports: the AWS SDK, a logger, a resolver of REST API events.
ALONE = (
    "import boto3; from aws_lambda_powertools import Logger; "
    "from aws_lambda_powertools.event_handler import APIGatewayRestResolver"
)
# Only what decodes pixels or reads every kind of text may need these, and then not before it does.
HEAVY = ("pydicom", "numpy", "PIL", "cryptography")
TIMED = """
import sys, time
sys.path[:0] = {paths!r}
started = time.process_time()
{statement}
print(time.process_time() - started, *(name for name in {heavy!r} if name in sys.modules))
"""


def measure() -> Iterator[Row]:
    artifacts = Artifacts(ensure_build()[1])
    paths = {name: artifacts.import_path(name) for name in sorted(artifacts.functions)}
    # A function and what it is held against stand beside each other.
    sides: dict[str, Callable[[], float]] = {}
    heavy: dict[str, list[str]] = {}
    for name, own in paths.items():
        sides |= {name: partial(_ours, name, own, heavy), _alone(name): partial(_theirs, own)}
    times = in_turn(sides, rounds=ROUNDS)
    for name in paths:
        yield Pairs(times[name], times[_alone(name)]).row(f"import {name}", "boto3 + Powertools", aim=AIM)
    if heavy:
        raise WorkNotDone(f"imported before the first request: {heavy}")


def _alone(name: str) -> str:
    return f"{name}, what every function needs"


def _ours(name: str, paths: Sequence[Path], heavy: dict[str, list[str]]) -> float:
    cost, found = _import("import app", paths)
    if found:
        heavy[name] = found
    return cost


def _theirs(paths: Sequence[Path]) -> float:
    return _import(ALONE, paths)[0]


def _import(statement: str, paths: Sequence[Path]) -> tuple[float, list[str]]:
    """Import in a fresh interpreter that sees nothing else; return processor seconds and the heavy modules."""
    program = TIMED.format(paths=[str(path) for path in paths], statement=statement, heavy=HEAVY)
    environment = {"PATH": os.defpath, "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds, *found = done.stdout.split()
    return float(seconds), found
