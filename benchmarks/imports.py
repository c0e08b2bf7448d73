"""Cold starts: what each built function imports before its first request, against what every function needs.

Both are timed in one process, one right after the other: first what every function needs, then the function. In
processes of their own the same import took 230 to 420 ms of processor time from one to the next; of 45 pairs the middle
half was 1.16 to 1.27, and of 45 processes 1.16 to 1.19. A function that leaves some of it out (`get_health` needs no
AWS SDK) costs less than this says, never more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.servers import WorkNotDone
from benchmarks.table import Pairs, Row
from local.artifacts import Artifacts
from local.build import ensure_build

AIM = 1.3
ROUNDS = 7
# What a function of this kind imports: the AWS SDK, a logger, a resolver of REST API events.
NEEDED = (
    "import boto3; from aws_lambda_powertools import Logger; "
    "from aws_lambda_powertools.event_handler import APIGatewayRestResolver"
)
# Only what decodes pixels or reads every kind of text may need these, and then not before it does.
HEAVY = ("pydicom", "numpy", "PIL", "cryptography")
TIMED = """
import sys, time
sys.path[:0] = {paths!r}
started = time.process_time()
{needed}
needed = time.process_time()
import app
ended = time.process_time()
print(ended - started, needed - started, *(name for name in {heavy!r} if name in sys.modules))
"""


def measure() -> Iterator[Row]:
    artifacts = Artifacts(ensure_build()[1])
    paths = {name: artifacts.import_path(name) for name in sorted(artifacts.functions)}
    costs: dict[str, list[tuple[float, float]]] = {name: [] for name in paths}
    # Each round takes all functions, so that none has all its rounds in a slow moment of the machine.
    for turn in range(-1, ROUNDS):
        for name, path in paths.items():
            cost = _import(name, path)
            if turn >= 0:
                costs[name].append(cost)
    for name, found in costs.items():
        ours, theirs = zip(*found, strict=True)
        yield Pairs(ours, theirs).row(f"import {name}", "boto3 + Powertools", aim=AIM)


def _import(name: str, paths: Sequence[Path]) -> tuple[float, float]:
    """Import in a fresh interpreter that sees nothing else.

    Returns
    -------
    tuple
        Processor seconds of what every function needs and the function together, and of the former alone.

    Raises
    ------
    WorkNotDone
        A heavy module was imported.
    """
    program = TIMED.format(paths=[str(path) for path in paths], needed=NEEDED, heavy=HEAVY)
    environment = {"PATH": os.defpath, "AWS_DEFAULT_REGION": "us-east-1"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    ours, theirs, *heavy = done.stdout.split()
    if heavy:
        raise WorkNotDone(f"{name} imports before its first request: {heavy}")
    return float(ours), float(theirs)
