"""What all benchmarks share: interleaved pairs, the median of their ratios, memory of a child process, one table.

A benchmark is a module of this package with a function ``measure() -> Iterator[Row]``; `python -m benchmarks` finds it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUNDS = 7
COLUMNS = ("measured", "against", "ours", "theirs", "ratio", "aim", "")


@dataclass(frozen=True)
class Row:
    """One line of the table; the aim is an upper bound of the ratio, or of `ours` where there is no ratio.

    Set `at_least` where more is better (a rate), so that the aim is a lower bound. `runs` has what was compared with
    the aim in each of several runs of a part, of which this is the median (`benchmarks.again`).
    """

    measured: str
    against: str
    ours: float
    unit: str
    theirs: float | None = None
    ratio: float | None = None
    aim: float | None = None
    at_least: bool = False
    runs: tuple[float, ...] = ()

    @property
    def compared(self) -> float:
        """What the aim is about: the ratio, where there is one."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without one."""
        if self.aim is None:
            return None
        return self.compared >= self.aim if self.at_least else self.compared <= self.aim

    def cells(self) -> tuple[str, ...]:
        bound = "≥" if self.at_least else "≤"
        unit = self.unit if self.ratio is None else ""
        return (
            self.measured,
            self.against,
            _amount(self.ours, self.unit),
            "" if self.theirs is None else _amount(self.theirs, self.unit),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.aim is None else f"{bound} {self.aim:g} {unit}".rstrip(),
            {True: "met", False: "MISSED", None: ""}[self.met] + self._of_runs,
        )

    @property
    def _of_runs(self) -> str:
        return f", median of {', '.join(f'{value:.2f}' for value in self.runs)}" if self.runs else ""


@dataclass(frozen=True)
class Result:
    """One part that ran: what it measured, how long that took, and whether it came to its end."""

    name: str
    rows: tuple[Row, ...]
    seconds: float
    is_done: bool

    @property
    def good(self) -> bool:
        """Whether all work was done and all aims are met; a part without a row has done nothing."""
        return self.is_done and bool(self.rows) and all(row.met is not False for row in self.rows)

    def cells(self) -> tuple[str, ...]:
        verdicts = [row.met for row in self.rows]
        end = "done" if self.is_done and self.rows else "NOT DONE, see the error above"
        return self.name, f"{self.seconds:.0f} s", str(verdicts.count(True)), str(verdicts.count(False)), end


@dataclass(frozen=True)
class Pairs:
    """Seconds of both sides, round by round: `ours[i]` and `theirs[i]` ran right after each other."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios."""
        return statistics.median(mine / other for mine, other in zip(self.ours, self.theirs, strict=True))

    def row(self, measured: str, against: str, *, aim: float | None = None) -> Row:
        """Give the line of the table, times in milliseconds."""
        mine, other = (statistics.median(times) * 1000 for times in (self.ours, self.theirs))
        return Row(measured, against, mine, "ms", other, self.ratio, aim)


def seconds(call: Callable[[], Any]) -> float:
    """Time one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def pairs(
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    rounds: int = ROUNDS,
    warm_up: int = 1,
    timed: Callable[[Callable[[], Any]], float] = seconds,
) -> Pairs:
    """Run two things in turn, A B B A, so that a slow moment of the machine falls on both.

    Parameters
    ----------
    ours, theirs
        What is compared.
    rounds
        How many pairs count.
    warm_up
        How many pairs run before, uncounted.
    timed
        Gives the cost of one call; otherwise its time in seconds. See `own_figure`.
    """
    mine, other = [], []
    for number in range(-warm_up, rounds):
        order = (ours, theirs) if number % 2 else (theirs, ours)
        cost = {each: timed(each) for each in order}
        if number >= 0:
            mine.append(cost[ours])
            other.append(cost[theirs])
    return Pairs(tuple(mine), tuple(other))


def in_turn(
    sides: Mapping[str, Callable[[], float]], *, rounds: int = ROUNDS, warm_up: int = 1
) -> dict[str, tuple[float, ...]]:
    """Run several things in turn, A B C C B A, as `pairs` does two; each returns what it cost itself.

    Parameters
    ----------
    sides
        What is compared, by name.
    rounds
        How many rounds count.
    warm_up
        How many rounds run before, uncounted.
    """
    costs: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warm_up, rounds):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            cost = sides[name]()
            if number >= 0:
                costs[name].append(cost)
    return {name: tuple(values) for name, values in costs.items()}


def own_figure(call: Callable[[], float]) -> float:
    """Take what the call itself measured, for `pairs(…, timed=own_figure)`."""
    return call()


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process, MiB: after the imports, and at its highest."""

    idle: float
    peak: float
    result: Any = None


def resident() -> tuple[float, float]:
    """Give this process's resident memory now and at its highest, MiB (Linux)."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(lines[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def in_child(target: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 600) -> Memory:
    """Run ``module:function`` with text arguments in a process of its own and tell how much memory it took.

    The parent's memory does not count, as it would in ``ru_maxrss``. What the function returns must be JSON.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", target, *arguments],
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        text=True,
        timeout=timeout,
        check=True,
    )
    return Memory(**json.loads(done.stdout.splitlines()[-1]))


def show(rows: Iterable[Row]) -> str:
    """Lay the rows out as a Markdown table, columns aligned."""
    return _table([COLUMNS, *(row.cells() for row in rows)])


def summary(results: Iterable[Result]) -> str:
    """Lay the parts out as a Markdown table: how long each took, how many aims it met, whether its work was done."""
    return _table([("part", "took", "aims met", "missed", "work"), *(result.cells() for result in results)])


def _table(lines: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def _amount(value: float, unit: str) -> str:
    digits = 0 if value >= 100 else 1 if value >= 1 else 2
    return f"{value:.{digits}f} {unit}"
