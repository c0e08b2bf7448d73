"""Many at once: exactly one wins, at most five guesses are compared; each with the guard removed as its control."""

import hmac
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests

from dicom_service.errors import Unauthorized
from dicom_service.otp.model import Otp
from dicom_service.otp.redeem import Redeemer
from dicom_service.otp.requests import RedeemRequest
from dicom_service.otp.store import OtpStore, Rejection
from tests.support.otp import Harness
from tests.support.otp_stack import StoredExam, issue, scaled
from tests.support.stack import Stack

REDEEMERS = 64
both_charged = threading.Barrier(2)
all_eight = threading.Barrier(8)


class UsesUnguarded(OtpStore):
    """The second write asks no more whether a use is left."""

    USE_IF = "#state = :active AND attribute_not_exists(redemptions.#nonce)"

    def use(self, *arguments: Any) -> Rejection | None:
        both_charged.wait(timeout=20)
        return super().use(*arguments)


class AttemptsReadFirst(OtpStore):
    """The usual mistake: read the count, decide, then write it."""

    CHARGE_IF = OtpStore.CHARGE_IF.replace("attempts < :maxAttempts", ":one < :maxAttempts")

    def charge(self, otp_id: str, nonce: str, now: int) -> Otp | Rejection:
        otp = self.get(otp_id)
        all_eight.wait(timeout=20)
        if otp is None or otp.attempts >= 5:
            return Rejection(otp)
        charged = super().charge(otp_id, nonce, now)
        all_eight.wait(timeout=20)
        return charged


def race(redeemer: Redeemer, issued: dict[str, Any], redeemers: int) -> int:
    """Let so many redeem one code at the same moment; give how many got a token."""
    start = threading.Barrier(redeemers)

    def one(_: int) -> bool:
        start.wait()
        try:
            redeemer.redeem(RedeemRequest(issued["otpId"], issued["otp"]))
        except Unauthorized:
            return False
        return True

    with ThreadPoolExecutor(redeemers) as pool:
        return sum(pool.map(one, range(redeemers)))


def test_of_64_at_once_one_wins(harness: Harness) -> None:
    codes = scaled(3, 200)
    winners = [race(harness.redeemer, harness.issue(), REDEEMERS) for _ in range(codes)]

    print(f"{REDEEMERS} redeemers at once x {codes} codes: winners {min(winners)} to {max(winners)} a code")
    assert winners == [1] * codes


def test_control_without_the_condition_on_uses_two_win(harness: Harness) -> None:
    harness.store_class = UsesUnguarded

    assert race(harness.redeemer, harness.issue(), 2) == 2


def guess(harness: Harness, issued: dict[str, Any], guesses: int) -> int:
    """Guess so often, 64 at a time, never right; give how many guesses were compared with the code."""
    compared: list[bytes] = []

    def matches(expected: bytes, given: bytes) -> bool:
        compared.append(expected)
        return hmac.compare_digest(expected, given)

    redeemer = replace(harness, matches=matches).redeemer
    right = int(issued["otp"])

    def one(number: int) -> None:
        with pytest.raises(Unauthorized):
            redeemer.redeem(RedeemRequest(issued["otpId"], f"{(right + 1 + number) % 10**8:08}"))

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(one, range(guesses)))
    return compared.count(issued["otp"].encode())


def test_of_10000_guesses_five_are_compared(harness: Harness) -> None:
    guesses = scaled(200, 10_000)
    issued = harness.issue()
    compared = guess(harness, issued, guesses)

    print(f"{guesses} parallel guesses at one code: {compared} compared, then locked")
    assert compared == 5
    assert harness.manager.get(issued["otpId"])["state"] == "LOCKED"
    with pytest.raises(Unauthorized):
        harness.redeem(issued)
    assert harness.redeem(harness.issue())["tokenType"] == "Bearer"


def test_control_without_the_condition_on_attempts_more_are_compared(harness: Harness) -> None:
    harness.store_class = AttemptsReadFirst

    assert guess(harness, harness.issue(), 8) == 8


def test_over_http_one_wins(stack: Stack, exam: StoredExam) -> None:
    """The same race through gateway and functions, as many as this machine starts functions for."""
    redeemers, codes = scaled(6, 12), scaled(2, 20)
    winners = []
    for _ in range(codes):
        issued = issue(stack, exam)
        start = threading.Barrier(redeemers)

        def one(_: int, issued: dict[str, Any] = issued, start: threading.Barrier = start) -> int:
            start.wait()
            url = f"{stack.api_url}/otps/redeem"
            return requests.post(url, json={"token": issued["token"]}, timeout=120).status_code

        with ThreadPoolExecutor(redeemers) as pool:
            statuses = list(pool.map(one, range(redeemers)))
        assert set(statuses) <= {200, 401}
        winners.append(statuses.count(200))
    counts = f"{redeemers} redeemers at once x {codes} codes"
    print(f"over HTTP, {counts}: winners {min(winners)} to {max(winners)} a code")
    assert winners == [1] * codes
