"""The tests that a table of the documentation names, so that no row can name one that is gone."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def named(row: str) -> list[tuple[Path, str]]:
    """Return the tests that a row names; … stands for the file named before."""
    found, file = [], TESTS
    for path, name in re.findall(r"`((?:[\w/]+\.py)|…)(?:::(\w+))?`", row):
        file = file if path == "…" else TESTS / path
        found.append((file, name))
    return found


def gone(rows: list[str]) -> list[str]:
    """Return the tests that rows name and that are not there."""
    return [
        f"{file}::{name}"
        for row in rows
        for file, name in named(row)
        if not file.is_file() or (name and f"def {name}(" not in file.read_text())
    ]
