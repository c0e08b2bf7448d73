"""Which pictures the share page asks for while somebody leafs, in a time of its own: no machine is too slow for it."""

import json
import subprocess
from pathlib import Path
from typing import Any

from playwright._impl._driver import compute_driver_executable

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tests" / "support" / "leafing.mjs"
AT_ONCE = 6


def leaf(**scenario: Any) -> dict[str, Any]:
    """Leaf through a stack; times are milliseconds."""
    command = [compute_driver_executable()[0], str(SCRIPT), str(ROOT / "web" / "share"), json.dumps(scenario)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert 1 <= found["most"] <= AT_ONCE
    return found


def test_ten_slices_a_second_are_all_shown_in_time() -> None:
    found = leaf(slices=300, every=100, takes=400)
    assert found["shown"] == list(range(1, 300))
    assert (found["twice"], found["failed"]) == (0, [])
    assert found["longest"] <= 100


def test_of_a_service_that_makes_five_a_second_every_second_one_is_shown_and_the_last() -> None:
    found = leaf(slices=300, every=100, takes=300, alone=200)
    assert found["shown"] == sorted(found["shown"])
    assert 130 <= len(found["shown"]) <= found["asked"] + 30 <= 200
    assert found["shown"][-1] == found["last"] == 299
    assert found["longest"] < 1500


def test_a_slider_that_is_drawn_asks_for_little_and_shows_where_it_ends() -> None:
    found = leaf(slices=300, jump=17, every=20, takes=400)
    assert found["shown"][-1] == found["last"] == 289
    assert found["asked"] < 40
    assert found["after"] < 1000


def test_a_service_that_hangs_is_not_asked_for_each_slice() -> None:
    found = leaf(slices=40, every=600, takes=20_000)
    assert found["shown"][-1] == found["last"] == 39
    assert found["asked"] < 20


def test_after_an_outage_the_slice_that_is_looked_at_comes_and_no_passed_one_is_waited_for() -> None:
    found = leaf(slices=60, every=100, takes=400, down=[4000, 12_000])
    assert found["shown"][-1] == found["last"] == 59
    assert [each for each in found["failed"] if each[2]] == []


def test_an_outage_is_said_of_the_slice_that_is_looked_at_alone() -> None:
    found = leaf(slices=60, every=100, takes=400, down=[4000, 1_000_000])
    assert [index for index, _, is_looked in found["failed"] if is_looked] == [59]
    assert found["failed"][-1][1] == "Unavailable"
