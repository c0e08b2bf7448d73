"""Cold starts: what each built function imports before its first request, against what every function needs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.servers import WorkNotDone
from benchmarks.table import Row, own_figure, pairs
from local.artifacts import Artifacts
from local.build import ensure_build

AIM = 1.3
# A fresh interpreter takes 5% more or less from one round to another; with five rounds one of 51 functions missed the
# aim, with nine it was at 1.22 to 1.27.
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
    for name in sorted(artifacts.functions):
        yield _function(name, artifacts.import_path(name))


def _function(name: str, paths: Sequence[Path]) -> Row:
    heavy: set[str] = set()

    def ours() -> float:
        seconds, found = _import("import app", paths)
        heavy.update(found)
        return seconds

    def theirs() -> float:
        return _import(ALONE, paths)[0]

    compared = pairs(ours, theirs, rounds=ROUNDS, timed=own_figure)
    if heavy:
        raise WorkNotDone(f"{name} imports {', '.join(sorted(heavy))} before its first request")
    return compared.row(f"import {name}", "boto3 + Powertools", aim=AIM)


def _import(statement: str, paths: Sequence[Path]) -> tuple[float, list[str]]:
    """Import in a fresh interpreter that sees nothing else; return processor seconds and the heavy modules."""
    program = TIMED.format(paths=[str(path) for path in paths], statement=statement, heavy=HEAVY)
    environment = {"PATH": os.defpath, "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds, *found = done.stdout.split()
    return float(seconds), found
