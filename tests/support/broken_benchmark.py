"""A benchmark that measures one thing and then finds its work not done."""

from collections.abc import Iterator

from benchmarks.servers import WorkNotDone
from benchmarks.table import Row


def measure() -> Iterator[Row]:
    """Return one row and break."""
    yield Row("a", "b", 1.1, "ms", 1.0, ratio=1.1, aim=1.15)
    raise WorkNotDone("nothing came")
