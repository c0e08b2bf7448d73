"""Compares the recorded calls of a run with the roles: ``python -m tests.iam_calls FOLDER [--write [--of TESTS]]``.

Fails on a call without a grant, and on a grant that is used neither now nor in the run of `tests/iam_calls/report.md`
and for which `unused.yaml` has no reason. With ``--write`` it renews that report, which has every right of every
function: from this run alone, or with ``--of``, where only some tests ran, from this run and the report before.
"""

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from tests.support.iam_calls import (
    REPORT,
    Accepted,
    Right,
    granted,
    load_baseline,
    missing,
    reason,
    recorded,
    unused,
    used_before,
)

# What tests point a function at: a table that does not exist, and secrets of their own, which no role can name.
OF_TESTS = ("table/no-such-table", ":secret:secret-of-")


def main() -> int:
    """Print what is missing and what is unused; return 1 where there is something without a reason."""
    parser = argparse.ArgumentParser(prog="python -m tests.iam_calls", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="renew the report")
    parser.add_argument("--of", metavar="TESTS", help="for the report: what was run, where it was not all tests")
    given = parser.parse_args()
    calls, grants, baseline = recorded(given.folder), granted(), load_baseline()
    idle = unused(calls, grants)
    lacking = [call for call in missing(calls, grants) if not any(name in call.resource for name in OF_TESTS)]
    before = used_before()
    unexplained = [grant for grant in idle if reason(grant, baseline) is None and grant not in before]
    for call in lacking:
        print(f"missing: {call.role} {call.action} {call.resource}")
    for grant in unexplained:
        print(f"unused: {grant.role} {grant.action} {grant.resource}")
    print(
        f"roles: {len(calls)} calls, {len(lacking)} without a grant; "
        f"{len(grants)} grants, {len(grants) - len(idle)} used, "
        f"{len(idle) - len(unexplained)} unused with a reason or used before, {len(unexplained)} without"
    )
    if given.write and not lacking:
        never = [grant for grant in idle if grant not in before] if given.of else idle
        REPORT.write_text(_report(grants, never, baseline, given.of))
    return 1 if lacking or unexplained else 0


def _report(grants: Collection[Right], idle: Sequence[Right], baseline: Sequence[Accepted], partly: str | None) -> str:
    lines = [
        "# What each function may do, and whether the tests used it",
        "",
        "Written by `python -m tests.iam_calls FOLDER --write` from the calls that tests of the local stack recorded;",
        "`make test` compares every run with the roles (tests/support/iam_calls.py).",
    ]
    if partly:
        lines += ["", f"It is of a whole run and, for the rights that changed since, of {partly}."]
    lines += ["", f"{len(grants)} rights, {len(grants) - len(idle)} used, no call without a right."]
    for role in sorted({grant.role for grant in grants}):
        lines += ["", f"## {role.removesuffix('Role')}", "", "| action | on | |", "|---|---|---|"]
        for grant in sorted(grant for grant in grants if grant.role == role):
            note = (reason(grant, baseline) or "not seen") if grant in idle else "used"
            lines.append(f"| `{grant.action}` | `{grant.resource}` | {note} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
