"""Ten times as many staged files take about ten times as long: nothing in an upload is read once for each file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.files import File, template
from benchmarks.servers import running
from benchmarks.staging import Staged, make_stores, staged_files
from benchmarks.table import Pairs, Row
from benchmarks.uploads import OURS, ours, rounds_of


def measure() -> Iterator[Row]:
    series = template(128)
    with running() as servers:
        make_stores()
        times = rounds_of(servers, {str(number): ours(_exam_of(series.exam, number)) for number in (1000, 100)})
    yield Pairs(times["1000"], times["100"]).row(
        f"{OURS}, 1,000 files of 33 kB, one invocation after the other", "100 files", aim=11
    )


def _exam_of(exam: Callable[[int], list[File]], number: int) -> Callable[[], list[Staged]]:
    return lambda: staged_files(exam(number))
