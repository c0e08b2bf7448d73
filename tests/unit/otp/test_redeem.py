"""Redeeming: once per use, five attempts, one error for every failure, and a lost response costs nothing."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.errors import SettingsError, Unauthorized, Unavailable
from dicom_service.otp import codes
from dicom_service.otp.requests import RedeemRequest
from dicom_service.otp.store import OtpStore, Rejection
from tests.support.otp import BIRTH_DATE, MASTER, PORTAL, STUDY, Harness, events_of, keyring, master_secret, wrong

NONCE = "a-nonce-of-22-letters-"
NEW_KEY = "another-master-secret-of-more-than-32-characters"


def rejection(harness: Harness, issued: dict[str, Any], **more: Any) -> dict[str, Any]:
    with pytest.raises(Unauthorized) as caught:
        harness.redeem(issued, **more)
    return {**caught.value.problem("one request id"), "headers": caught.value.headers}


def test_the_right_code_gives_a_token_for_that_study(harness: Harness) -> None:
    answer = harness.redeem(harness.issue(role="diagnostic"))

    assert answer == {
        "accessToken": answer["accessToken"],
        "tokenType": "Bearer",
        "expiresIn": 3600,
        "studyUID": STUDY,
        "role": "diagnostic",
        "download": True,
        "showAccesses": False,
    }
    assert events_of(harness.tables) == ["OTP Issued", "OTP Redeemed"]


def test_it_is_good_once(harness: Harness) -> None:
    issued = harness.issue()
    harness.redeem(issued)

    rejection(harness, issued)
    assert harness.manager.get(issued["otpId"])["state"] == "USED"


def test_it_is_good_as_often_as_it_says_and_attempts_are_given_back(harness: Harness) -> None:
    issued = harness.issue(max_uses=7)

    tokens = {harness.redeem(issued)["accessToken"] for _ in range(7)}
    assert len(tokens) == 7
    assert harness.manager.get(issued["otpId"])["attempts"] == 0
    rejection(harness, issued)


def test_five_misses_burn_the_code_and_a_new_one_works(harness: Harness) -> None:
    issued = harness.issue()
    for _ in range(5):
        rejection(harness, issued, code=wrong(issued["otp"]))

    rejection(harness, issued)
    assert harness.manager.get(issued["otpId"])["state"] == "LOCKED"
    assert events_of(harness.tables) == ["OTP Issued", "OTP Locked"]
    harness.redeem(harness.issue())


def test_four_misses_do_not(harness: Harness) -> None:
    issued = harness.issue()
    for _ in range(4):
        rejection(harness, issued, code=wrong(issued["otp"]))

    harness.redeem(issued)


def test_only_charged_attempts_are_compared(harness: Harness) -> None:
    """GIVEN a code under attack WHEN 40 guesses come THEN five are compared with it."""
    issued, compared = harness.issue(), []

    def matches(expected: bytes, given: bytes) -> bool:
        compared.append(expected)
        return expected == given

    redeemer = replace(harness, matches=matches).redeemer
    for guess in range(40):
        with pytest.raises(Unauthorized):
            redeemer.redeem(RedeemRequest(issued["otpId"], f"{guess:08}"))
    assert compared.count(issued["otp"].encode()) == 5


def test_every_failure_returns_the_same_error(harness: Harness) -> None:
    """Wrong, unknown, used, expired, locked, revoked, malformed: body, status and headers alike."""
    used, expired, locked, revoked, live = (harness.issue(expires_in=600) for _ in range(5))
    harness.redeem(used)
    for _ in range(5):
        rejection(harness, locked, code=wrong(locked["otp"]))
    harness.manager.revoke(revoked["otpId"], PORTAL)
    answers = [
        rejection(harness, live, code=wrong(live["otp"])),
        rejection(harness, live, code=""),
        rejection(harness, live, code="\u0661" * 8),
        rejection(harness, {"otpId": codes.new_id(), "otp": "12345678"}),
        rejection(harness, {"otpId": "../../etc", "otp": "12345678"}),
        *(rejection(harness, otp) for otp in (used, locked, revoked)),
    ]
    harness.clock.now += 601
    answers.append(rejection(harness, expired))

    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["status"] == 401
    assert answers[0]["code"] == "OTP_REJECTED"


def test_expired_counts_although_the_row_is_still_there(harness: Harness) -> None:
    issued = harness.issue(expires_in=60)
    harness.clock.now += 60

    rejection(harness, issued)
    assert harness.manager.get(issued["otpId"])["state"] == "EXPIRED"


@pytest.mark.parametrize("skew", [-600, 600])
def test_a_clock_ten_minutes_off_moves_the_expiry_and_nothing_else(harness: Harness, skew: int) -> None:
    """GIVEN one function's clock is off THEN codes are still single use, five attempts, revocable."""
    issued, misses, revoked = (harness.issue(expires_in=3600) for _ in range(3))
    harness.manager.revoke(revoked["otpId"], PORTAL)
    for _ in range(5):
        rejection(harness, misses, code=wrong(misses["otp"]))
    harness.clock.now += skew

    harness.redeem(issued)
    for otp in (issued, misses, revoked):
        rejection(harness, otp)
    harness.clock.now -= 2 * skew
    for otp in (issued, misses, revoked):
        rejection(harness, otp)


def test_who_lost_the_reply_gets_the_same_token_again(harness: Harness) -> None:
    issued = harness.issue()
    first = harness.redeem(issued, nonce=NONCE)
    harness.clock.now += 5
    again = harness.redeem(issued, nonce=NONCE)

    assert again == {**first, "expiresIn": 3595}
    shown = harness.manager.get(issued["otpId"])
    assert (shown["uses"], shown["attempts"]) == (1, 0)
    assert events_of(harness.tables).count("OTP Redeemed") == 1


def test_a_nonce_without_the_code_gets_nothing_and_is_charged(harness: Harness) -> None:
    """Whoever knows the nonce of a used code must not get to guess without limit."""
    issued = harness.issue()
    harness.redeem(issued, nonce=NONCE)
    for _ in range(5):
        rejection(harness, issued, code=wrong(issued["otp"]), nonce=NONCE)

    rejection(harness, issued, nonce=NONCE)


def test_another_nonce_gets_nothing(harness: Harness) -> None:
    issued = harness.issue()
    harness.redeem(issued, nonce=NONCE)

    rejection(harness, issued, nonce=NONCE.upper())


class SentTwice(OtpStore):
    """The SDK sends the winning write again, and reports what came of the second."""

    def use(self, *arguments: Any) -> Rejection | None:
        assert super().use(*arguments) is None
        return super().use(*arguments)


def test_a_winner_whose_own_write_is_reported_as_failed_still_wins(harness: Harness) -> None:
    """GIVEN the winning write arrives twice WHEN the second is rejected THEN the nonce in the row says who won."""
    issued = harness.issue(max_uses=2)
    harness.store_class = SentTwice

    answer = harness.redeem(issued, nonce=NONCE)

    assert harness.access_tokens.find(answer["accessToken"]) is not None
    assert harness.manager.get(issued["otpId"])["uses"] == 1


def test_killed_between_the_writes_costs_one_attempt(harness: Harness) -> None:
    issued = harness.issue()
    harness.store.charge(issued["otpId"], codes.nonce_tag(issued["otpId"], NONCE), int(harness.clock()))

    assert harness.manager.get(issued["otpId"])["attemptsLeft"] == 4
    harness.redeem(issued, nonce=NONCE)


def test_a_code_all_of_whose_attempts_died_is_locked_and_said_so(harness: Harness) -> None:
    issued = harness.issue()
    for _ in range(5):
        harness.store.charge(issued["otpId"], "x", int(harness.clock()))
    rejection(harness, issued)
    assert "OTP Locked" not in events_of(harness.tables)

    harness.clock.now += 61
    rejection(harness, issued)
    assert events_of(harness.tables).count("OTP Locked") == 1


class RevokedMeanwhile(OtpStore):
    """Somebody revokes the code between the two writes."""

    def use(self, *arguments: Any) -> Rejection | None:
        super().revoke(arguments[0].otp_id, arguments[3])
        return super().use(*arguments)


def test_revoked_while_redeeming_gives_nothing(harness: Harness) -> None:
    issued = harness.issue()
    harness.store_class = RevokedMeanwhile

    rejection(harness, issued)
    assert aws.dynamodb().scan(TableName=harness.tables.access_tokens)["Count"] == 0


@pytest.mark.parametrize("birth_date", [None, "19610413"])
def test_a_wrong_birth_date_is_a_miss_like_any_other(harness: Harness, birth_date: str | None) -> None:
    issued, plain = harness.issue(require_birth_date=True), harness.issue()
    answer = rejection(harness, issued, birth_date=birth_date)

    assert answer == rejection(harness, plain, code=wrong(plain["otp"]))
    assert harness.manager.get(issued["otpId"])["attemptsLeft"] == 4


def test_the_right_birth_date_opens(harness: Harness) -> None:
    issued = harness.issue(require_birth_date=True)

    assert harness.redeem(issued, birth_date=BIRTH_DATE)["studyUID"] == STUDY


def test_a_code_is_typed_with_hyphens_and_small_letters(harness: Harness) -> None:
    issued = harness.issue(expires_in=86_400)
    code = issued["otp"]

    assert len(code) == 13
    assert harness.redeem(issued, code=f"{code[:5]}-{code[5:]}".lower())["studyUID"] == STUDY


def test_rotation_leaves_live_codes_working(harness: Harness) -> None:
    """GIVEN a code under k1 WHEN k2 becomes current THEN both work, also for functions that had read k1 only."""
    issued = harness.issue()
    stale = harness.keyring
    stale.current()
    master_secret("master", {**MASTER, "current": "k2", "k2": NEW_KEY})
    harness.keyring = keyring("master")
    newer = harness.issue()
    row = harness.store.get(newer["otpId"])

    assert row is not None
    assert row.key_id == "k2"
    harness.keyring = stale
    assert harness.redeem(newer)["studyUID"] == STUDY
    assert harness.redeem(issued)["studyUID"] == STUDY


def test_a_key_taken_away_refuses_its_codes(harness: Harness) -> None:
    issued = harness.issue()
    master_secret("master", {"current": "k2", "k2": NEW_KEY})
    harness.keyring = keyring("master")

    rejection(harness, issued)


@pytest.mark.parametrize("value", [{}, {"current": "k1"}, {"current": "k1", "k1": "short"}, {"current": "current"}])
def test_a_master_secret_that_makes_no_sense_is_the_operators_to_repair(
    harness: Harness, value: dict[str, str]
) -> None:
    master_secret("master", value)

    with pytest.raises(SettingsError):
        keyring("master").current()


class Busy:
    """A DynamoDB client whose first few updates fail."""

    def __init__(self, times: int, code: str) -> None:
        self.left = times
        self.code = code
        self.real = aws.dynamodb()

    def update_item(self, **request: Any) -> Any:
        if self.left:
            self.left -= 1
            raise ClientError({"Error": {"Code": self.code, "Message": ""}}, "UpdateItem")
        return self.real.update_item(**request)


def test_a_row_held_by_another_transaction_is_waited_for(harness: Harness, pauses: list[int]) -> None:
    issued = harness.issue()
    busy = Busy(3, "TransactionConflictException")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws, "dynamodb", lambda: busy)
        outcome = OtpStore(harness.tables).charge(issued["otpId"], "x", int(harness.clock()))

    assert not isinstance(outcome, Rejection)
    assert len(pauses) == 3


@pytest.mark.parametrize(("times", "code"), [(99, "TransactionConflictException"), (1, "InternalServerError")])
def test_an_outage_is_said_and_not_taken_for_a_rejection(
    harness: Harness, pauses: list[int], times: int, code: str
) -> None:
    issued = harness.issue()
    busy = Busy(times, code)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(aws, "dynamodb", lambda: busy)
        OtpStore(harness.tables).charge(issued["otpId"], "x", int(harness.clock()))


def test_what_cannot_be_redeemed_costs_the_same_work_and_is_never_compared(harness: Harness) -> None:
    """Unknown and used codes are compared as often, against the code of no id."""
    compared: list[bytes] = []

    def matches(expected: bytes, given: bytes) -> bool:
        compared.append(expected)
        return False

    issued = harness.issue()
    harness.redeem(issued)
    redeemer = replace(harness, matches=matches).redeemer
    for otp_id in (issued["otpId"], codes.new_id()):
        with pytest.raises(Unauthorized):
            redeemer.redeem(RedeemRequest(otp_id, issued["otp"]))

    assert len(compared) == 4
    assert issued["otp"].encode() not in compared
