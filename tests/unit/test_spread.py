"""Tests of the stack are spread by the stack that they need."""

from collections import Counter
from pathlib import Path

import pytest

from tests.support.spread import E2E, FIRST, NO_STACK, ByStack, group

TESTS = Path(__file__).parents[1]


def test_each_file_of_the_stack_is_in_one_of_three_groups_and_nothing_else_is() -> None:
    files = [str(path.relative_to(TESTS.parent)) for path in TESTS.rglob("test_*.py")]
    groups = Counter(group(f"{file}::test") for file in files if file.startswith(E2E) and "test_artifacts" not in file)
    assert set(groups) == {"first stack", "second stack", "stack in front of the second PACS"}
    assert min(groups["first stack"], groups["second stack"]) >= 10
    alone = [file for file in files if group(f"{file}::test") == f"{file}::test"]
    assert sorted(file for file in alone if file.startswith(E2E)) == [f"{E2E}test_artifacts.py"]


def test_every_name_of_the_table_is_there() -> None:
    for name in (*FIRST, *NO_STACK):
        assert list((TESTS / "e2e").glob(f"{name.removesuffix('/')}*")), name


def test_the_scheduler_is_ours(pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytestconfig.option, "tx", ["popen"])
    assert isinstance(pytestconfig.hook.pytest_xdist_make_scheduler(config=pytestconfig, log=None), ByStack)


def test_no_mark_pretends_to_group() -> None:
    assert [path.name for path in TESTS.rglob("*.py") if "mark.xdist_" + "group" in path.read_text()] == []
