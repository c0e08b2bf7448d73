"""A study of many small files as one ZIP, compared as `benchmarks.zips` does; a part that is measured again alone."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.table import Row
from benchmarks.zips import TOGETHER, Exam, compared

# Small files one by one take longer than together.
EXAM = Exam(2000, 128, "33 kB", (TOGETHER,), None, 7)


def measure() -> Iterator[Row]:
    yield from compared(EXAM)
