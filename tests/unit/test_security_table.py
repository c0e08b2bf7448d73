"""The table of docs/security.md: every finding is in it, and every test that it names is there."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = (TESTS.parent / "docs" / "security.md").read_text().partition("| nr |")[2]
ROWS = re.findall(r"^\| (\d+) \|(.*)$", TABLE, re.MULTILINE)


def named(row: str) -> list[tuple[Path, str]]:
    """The tests that a row names; … stands for the file named before."""
    found, file = [], TESTS
    for path, name in re.findall(r"`((?:[\w/]+\.py)|…)(?:::(\w+))?`", row):
        file = file if path == "…" else TESTS / path
        found.append((file, name))
    return found


def test_every_finding_is_in_the_table() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 33))


def test_every_test_that_it_names_is_there() -> None:
    tests = [test for _, row in ROWS for test in named(row)]
    assert len(tests) >= 45
    missing = [
        f"{file}::{name}"
        for file, name in tests
        if not file.is_file() or (name and f"def {name}(" not in file.read_text())
    ]
    assert missing == []
    assert [number for number, row in ROWS if not named(row)] == []


def test_every_finding_that_is_held_has_a_control() -> None:
    cells = {number: [cell.strip() for cell in row.split("|")] for number, row in ROWS}
    assert {len(row) for row in cells.values()} == {4}
    without = [number for number, (_, _, control, _) in cells.items() if not control]
    assert without == [number for number, row in ROWS if not named(row)]
