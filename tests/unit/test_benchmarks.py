"""The runner of the benchmarks: a missed aim and work that was not done are in the table and in the exit code."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import part
from benchmarks.again import settled
from benchmarks.table import Result, Row, show, summary

ROOT = Path(__file__).parents[2]

ROW = Row("a", "b", 1.1, "ms", 1.0, ratio=1.1, aim=1.15)
MISSED = dataclasses.replace(ROW, ratio=1.2)


def test_an_aim_is_met_up_to_its_bound() -> None:
    assert dataclasses.replace(ROW, ratio=1.15).met is True
    assert MISSED.met is False
    assert dataclasses.replace(ROW, aim=None).met is None
    assert Row("memory", "", 65, "MiB", aim=64).met is False
    assert Row("rate", "", 65, "a second", aim=64, at_least=True).met is True
    assert "MISSED" in show([ROW, MISSED])
    assert "MISSED" not in show([ROW])


def test_a_part_is_good_when_its_work_was_done_and_its_aims_are_met() -> None:
    assert Result("p", (ROW,), 1.0, is_done=True).good
    assert not Result("p", (ROW, MISSED), 1.0, is_done=True).good
    assert not Result("p", (ROW,), 1.0, is_done=False).good
    assert not Result("p", (), 1.0, is_done=True).good


def test_a_part_that_breaks_keeps_its_rows_and_its_error(capfd: pytest.CaptureFixture[str]) -> None:
    result = part.run("broken", "tests.support.broken_benchmark")
    assert result.rows == (ROW,)
    assert not result.is_done
    assert "WorkNotDone: nothing came" in capfd.readouterr().err
    assert "| broken | " in summary([result])
    assert "NOT DONE" in summary([result])


@pytest.mark.parametrize(
    ("again", "counts", "good"),
    [
        ((1.1, 1.16), 1.16, False),
        ((1.1, 1.12), 1.12, True),
        ((1.3, 1.4), 1.3, False),
        ((1.0,), 1.2, False),  # a run ended without the row
    ],
)
def test_of_an_aim_that_was_missed_the_median_of_three_runs_counts(
    again: tuple[float, ...], counts: float, good: bool
) -> None:
    other = dataclasses.replace(ROW, measured="other")
    runs = [Result("p", (other, dataclasses.replace(ROW, ratio=ratio)), 1.0, is_done=True) for ratio in again]
    left = [*runs, *[Result("p", (other,), 1.0, is_done=True)] * (2 - len(runs))]
    result = settled(Result("p", (other, MISSED), 1.0, is_done=True), lambda: left.pop(0))
    assert (result.rows[1].ratio, result.good, result.seconds, left) == (counts, good, 3.0, [])
    assert result.rows[0] == other
    if len(again) == 2:
        assert f"median of 1.20, {again[0]:.2f}, {again[1]:.2f}" in show(result.rows)


def test_the_median_is_that_of_a_lower_bound_too_whatever_the_rival_was() -> None:
    missed = Row("rate", "a rival", 0.7, "/s", 1.0, ratio=0.7, aim=0.8, at_least=True)
    others = [dataclasses.replace(missed, against="another", ratio=ratio) for ratio in (0.75, 0.9)]
    runs = [Result("p", (row,), 1.0, is_done=True) for row in others]
    [row] = settled(Result("p", (missed,), 1.0, is_done=True), lambda: runs.pop(0)).rows
    assert (row.ratio, row.met, row.against, row.runs) == (0.75, False, "another", (0.7, 0.75, 0.9))


def test_two_rows_of_one_run_do_not_stand_for_two_runs() -> None:
    beside = dataclasses.replace(ROW, against="another")
    runs = [Result("p", (beside, ROW), 1.0, is_done=True), Result("p", (), 1.0, is_done=True)]
    [row] = settled(Result("p", (MISSED,), 1.0, is_done=True), lambda: runs.pop(0)).rows
    assert row == MISSED


def test_of_a_run_that_broke_no_row_counts() -> None:
    # It ended before the row against the same rival.
    runs = [Result("p", (ROW,), 1.0, is_done=True)]
    runs.append(Result("p", (dataclasses.replace(ROW, against="another"),), 1.0, is_done=False))
    [row] = settled(Result("p", (MISSED,), 1.0, is_done=True), lambda: runs.pop(0)).rows
    assert row == MISSED


def test_a_part_runs_once_unless_an_aim_was_missed() -> None:
    def once_more() -> Result:
        raise AssertionError("it ran again")

    for done in (Result("p", (ROW,), 1.0, is_done=True), Result("p", (MISSED,), 1.0, is_done=False)):
        assert settled(done, once_more) is done


def test_a_part_that_breaks_when_it_runs_again_is_not_done() -> None:
    broken = Result("p", (), 1.0, is_done=False)
    assert not settled(Result("p", (MISSED,), 1.0, is_done=True), lambda: broken).good


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (Result("lists", (ROW,), 1.0, is_done=True), 0),
        (Result("lists", (MISSED,), 1.0, is_done=True), 1),
        (Result("lists", (ROW,), 1.0, is_done=False), 1),
    ],
)
def test_the_exit_code_is_of_all_parts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], second: Result, code: int
) -> None:
    results = {"otp": Result("otp", (ROW,), 1.0, is_done=True), "lists": second}
    monkeypatch.setattr(bench, "run", lambda name, module: results[name])
    # The part after one that failed runs all the same.
    assert bench.main(["lists", "otp"]) == code
    assert capsys.readouterr().out.count("| otp ") == 1


def test_an_aim_that_was_missed_is_measured_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [MISSED, ROW, ROW]
    monkeypatch.setattr(bench, "run", lambda name, module: Result(name, (rows.pop(0),), 1.0, is_done=True))
    assert bench.main(["otp"]) == 0
    assert not rows
    assert "median of" in capsys.readouterr().out


def test_a_name_that_is_no_part_is_answered_with_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["nonsense"]) == 2
    assert {"exams", "imports", "notifications", "uploads", "worklist"} <= set(bench.parts())
    assert "worklist" in capsys.readouterr().err


def test_no_worker_outlives_a_part_that_is_killed() -> None:
    # GIVEN a part whose invocations run in workers
    script = """
import os, time
from benchmarks.invocations import workers
if __name__ == "__main__":
    with workers() as processes:
        print(processes.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as killed:
        assert killed.stdout is not None
        worker = int(killed.stdout.readline())
        # WHEN it is killed
        killed.kill()
        # THEN its workers end too, and with them what they hold of its output
        try:
            assert not killed.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired:
            os.kill(worker, signal.SIGKILL)
            raise
