"""The table of docs/security.md: every finding is in it, and every test that it names is there."""

import re

from tests.support.named_tests import TESTS, gone, named

TABLE = (TESTS.parent / "docs" / "security.md").read_text().partition("| nr |")[2]
ROWS = re.findall(r"^\| (\d+) \|(.*)$", TABLE, re.MULTILINE)


def test_every_finding_is_in_the_table() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 33))


def test_every_test_that_it_names_is_there() -> None:
    assert len([test for _, row in ROWS for test in named(row)]) >= 45
    assert gone([row for _, row in ROWS]) == []
    assert [number for number, row in ROWS if not named(row)] == []


def test_every_finding_that_is_held_has_a_control() -> None:
    cells = {number: [cell.strip() for cell in row.split("|")] for number, row in ROWS}
    assert {len(row) for row in cells.values()} == {4}
    without = [number for number, (_, _, control, _) in cells.items() if not control]
    assert without == [number for number, row in ROWS if not named(row)]
