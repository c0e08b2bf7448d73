"""UIDs under many callers at once, on the deployed stack."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.stack import Stack

# The emulator's own answers, at times, where many functions start at once: the function has not been called.
NOT_CALLED = ("dictionary changed size", "Worker process exited immediately")


def test_sixteen_callers_at_once_never_share_a_uid(stack: Stack) -> None:
    def take(number: int) -> list[str]:
        count = 500 if number % 4 == 0 else 1
        given = stack.request("GET", "/uid", params={"count": count})
        if any(words in given.text for words in NOT_CALLED):
            given = stack.request("GET", "/uid", params={"count": count})
        assert given.status_code == 200, given.text
        uids: list[str] = given.json()["uids"]
        return uids

    with ThreadPoolExecutor(16) as pool:
        blocks = list(pool.map(take, range(64)))
    uids = [uid for block in blocks for uid in block]
    print(f"\nuids: {len(uids)} from 64 calls of 16 callers, {len(set(uids))} different")
    assert len(uids) == len(set(uids)) == 16 * 500 + 48


def test_ten_thousand_cost_one_registration(stack: Stack) -> None:
    table = stack.outputs["UidsTable"]

    def registered() -> int:
        count: int = stack.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"]
        return count

    before = registered()
    given = stack.request("GET", "/uid", params={"count": 10_000}).json()
    assert len(set(given["uids"])) == 10_000
    assert all(len(uid) <= 64 for uid in given["uids"])
    assert registered() == before + 1


@pytest.mark.parametrize("count", ["0", "10001", "-1", "x", "1e3"])
def test_other_counts_are_refused(stack: Stack, count: str) -> None:
    assert stack.request("GET", "/uid", params={"count": count}).status_code == 400
