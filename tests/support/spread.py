"""Which process runs which test when `make test` spreads them over several.

A stack takes a minute to start, and each function of it some seconds more at its first call. So the tests of the
deployed service are in groups, one for each stack, and a group is one process's. Every other test goes to whichever
process is free. (Marks with `xdist_group` do nothing since pytest 9.2.)
"""

from xdist.scheduler import LoadScopeScheduling

E2E = "tests/e2e/"
# What runs on the first stack; the rest, which takes about as long, runs on the second.
FIRST = (
    *("notifications/", "otp/", "worklist/"),
    *("test_access", "test_contract", "test_erasure", "test_gateway", "test_restart", "test_uids"),
)
NO_STACK = ("test_artifacts",)


def group(test: str) -> str:
    """Return what one process runs alone: the group of a test that needs a stack, otherwise the test itself."""
    if not test.startswith(E2E):
        return test
    path = test.removeprefix(E2E)
    if path.startswith(NO_STACK):
        return test
    if path.startswith("any_pacs/"):
        return "stack in front of the second PACS"
    return "first stack" if path.startswith(FIRST) else "second stack"


class ByStack(LoadScopeScheduling):  # type: ignore[misc]
    """Gives the largest groups out first, then the other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)
