"""Guessing at many codes: one limit for all of them, and who owns a code gets in."""

import hmac
from typing import Any

import pytest

from dicom_service.errors import Unauthorized
from dicom_service.otp.guesses import WINDOW, Guesses, GuessSettings, TooManyWrongCodes
from dicom_service.otp.redeem import Redeemer
from dicom_service.otp.requests import RedeemRequest
from tests.support.otp import Harness

ATTACKER, OWNER = "203.0.113.9", "198.51.100.7"
MOST = 20


class Door:
    """The redeemer with a limit, which counts the codes that are compared for real."""

    def __init__(self, harness: Harness, most: int) -> None:
        guesses = Guesses(GuessSettings(harness.tables.subjects, most), harness.clock)
        self.redeemer = Redeemer(
            *(harness.store, harness.keyring, harness.guard, lambda: harness.pacs),
            clock=harness.clock,
            guesses=guesses,
        )

    def redeem(self, issued: dict[str, Any], address: str, code: str = "") -> dict[str, Any]:
        return self.redeemer.redeem(RedeemRequest(otp_id=issued["otpId"], code=code or issued["otp"]), address)

    def guess(self, codes: list[dict[str, Any]], address: str, tries: int = 5) -> int:
        """Try wrong codes at each; return how many were not refused beforehand."""
        made = 0
        for issued in codes:
            for _ in range(tries):
                try:
                    self.redeem(issued, address, code="0" * len(issued["otp"]))
                except TooManyWrongCodes:
                    continue
                except Unauthorized:
                    made += 1
        return made


def test_many_codes_give_an_attacker_no_more_guesses_than_the_limit(harness: Harness) -> None:
    codes = [harness.issue() for _ in range(10)]
    assert Door(harness, MOST).guess(codes, ATTACKER) == MOST


def test_control_without_the_limit_every_code_gives_five_more(harness: Harness) -> None:
    codes = [harness.issue() for _ in range(10)]
    assert Door(harness, 10**6).guess(codes, ATTACKER) == 50


def test_owners_redeem_while_somebody_guesses_also_those_of_codes_that_were_guessed_at(harness: Harness) -> None:
    door, codes = Door(harness, MOST), [harness.issue() for _ in range(10)]
    door.guess(codes, ATTACKER, tries=4)
    # Four wrong tries at some, none at others for which the limit came first: each opens for its owner.
    assert [door.redeem(issued, OWNER)["tokenType"] for issued in codes] == ["Bearer"] * 10


def test_an_owner_who_mistypes_while_somebody_guesses_waits_for_five_minutes_at_most(harness: Harness) -> None:
    door, codes = Door(harness, MOST), [harness.issue() for _ in range(10)]
    door.guess(codes, ATTACKER)
    mine = harness.issue()
    with pytest.raises(Unauthorized):
        door.redeem(mine, OWNER, code="0" * len(mine["otp"]))
    with pytest.raises(TooManyWrongCodes) as refused:
        door.redeem(mine, OWNER)
    wait = int(refused.value.headers["Retry-After"])
    assert 0 < wait <= WINDOW
    harness.clock.now += wait
    # AND the refused try was charged to nobody
    assert door.redeem(mine, OWNER)["tokenType"] == "Bearer"


def test_neighbours_of_an_attacker_are_of_his_network_and_others_are_not(harness: Harness) -> None:
    door = Door(harness, MOST)
    door.guess([harness.issue() for _ in range(10)], ATTACKER)
    with pytest.raises(TooManyWrongCodes):
        door.redeem(harness.issue(), "203.0.113.200")
    assert door.redeem(harness.issue(), "203.0.114.9")["tokenType"] == "Bearer"


def test_nothing_is_compared_for_who_is_refused(harness: Harness) -> None:
    compared: list[object] = []

    def matches(one: Any, other: Any) -> bool:
        compared.append(one)
        return hmac.compare_digest(one, other)

    door = Door(harness, MOST)
    door.guess([harness.issue() for _ in range(10)], ATTACKER)
    door.redeemer._matches = matches
    with pytest.raises(TooManyWrongCodes):
        door.redeem(harness.issue(), ATTACKER)
    assert compared == []
