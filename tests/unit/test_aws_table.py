"""The table of docs/deploying.md: all that AWS does otherwise than the local stack, each with a test that is there."""

import re
from string import ascii_uppercase

from tests.support.named_tests import TESTS, gone, named

TABLE = (TESTS.parent / "docs" / "deploying.md").read_text().partition("| | what AWS does")[2].partition("\n\n")[0]
ROWS = re.findall(r"^\| ?([A-Z]?) \|(.*)$", TABLE, re.MULTILINE)


def test_each_finding_has_a_row_and_the_smaller_ones_follow() -> None:
    letters = [letter for letter, _ in ROWS]
    assert letters[:14] == list(ascii_uppercase[:14])
    assert len(letters) >= 22
    assert set(letters[14:]) == {""}


def test_each_row_names_a_test_and_each_test_is_there() -> None:
    assert [row for _, row in ROWS if not named(row)] == []
    assert gone([row for _, row in ROWS]) == []
