"""Redeeming: once per use, five attempts, one same refusal, and a lost reply costs nobody the code."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from dicom_service import aws
from dicom_service.errors import SettingsError, Unauthorized, Unavailable
from dicom_service.otp import codes
from dicom_service.otp.redeem import RedeemRequest
from dicom_service.otp.store import OtpStore, Rejection
from tests.support.otp import BIRTH_DATE, MASTER, PORTAL, STUDY, World, events_of, keyring, master_secret, wrong

NONCE = "a-nonce-of-22-letters-"
NEW_KEY = "another-master-secret-of-more-than-32-characters"


def refusal(world: World, issued: dict[str, Any], **more: Any) -> dict[str, Any]:
    with pytest.raises(Unauthorized) as caught:
        world.redeem(issued, **more)
    return {**caught.value.problem("one request id"), "headers": caught.value.headers}


def test_the_right_code_gives_a_token_for_that_study(world: World) -> None:
    answer = world.redeem(world.issue(role="diagnostic"))

    assert answer == {
        "accessToken": answer["accessToken"],
        "tokenType": "Bearer",
        "expiresIn": 3600,
        "studyUID": STUDY,
        "role": "diagnostic",
        "download": True,
    }
    assert events_of(world.tables) == ["OTP Issued", "OTP Redeemed"]


def test_it_is_good_once(world: World) -> None:
    issued = world.issue()
    world.redeem(issued)

    refusal(world, issued)
    assert world.manager.get(issued["otpId"])["state"] == "USED"


def test_it_is_good_as_often_as_it_says_and_attempts_are_given_back(world: World) -> None:
    issued = world.issue(max_uses=7)

    tokens = {world.redeem(issued)["accessToken"] for _ in range(7)}
    assert len(tokens) == 7
    assert world.manager.get(issued["otpId"])["attempts"] == 0
    refusal(world, issued)


def test_five_misses_burn_the_code_and_a_new_one_works(world: World) -> None:
    issued = world.issue()
    for _ in range(5):
        refusal(world, issued, code=wrong(issued["otp"]))

    refusal(world, issued)
    assert world.manager.get(issued["otpId"])["state"] == "LOCKED"
    assert events_of(world.tables) == ["OTP Issued", "OTP Locked"]
    world.redeem(world.issue())


def test_four_misses_do_not(world: World) -> None:
    issued = world.issue()
    for _ in range(4):
        refusal(world, issued, code=wrong(issued["otp"]))

    world.redeem(issued)


def test_only_charged_attempts_are_compared(world: World) -> None:
    """GIVEN a code under attack WHEN 40 guesses come THEN five are compared with it."""
    issued, compared = world.issue(), []

    def matches(expected: bytes, given: bytes) -> bool:
        compared.append(expected)
        return expected == given

    redeemer = replace(world, matches=matches).redeemer
    for guess in range(40):
        with pytest.raises(Unauthorized):
            redeemer.redeem(RedeemRequest(issued["otpId"], f"{guess:08}"))
    assert compared.count(issued["otp"].encode()) == 5


def test_every_refusal_is_the_same(world: World) -> None:
    """Wrong, unknown, used, expired, locked, revoked, malformed: body, status and headers alike."""
    used, expired, locked, revoked, live = (world.issue(expires_in=600) for _ in range(5))
    world.redeem(used)
    for _ in range(5):
        refusal(world, locked, code=wrong(locked["otp"]))
    world.manager.revoke(revoked["otpId"], PORTAL)
    answers = [
        refusal(world, live, code=wrong(live["otp"])),
        refusal(world, live, code=""),
        refusal(world, live, code="\u0661" * 8),
        refusal(world, {"otpId": codes.new_id(), "otp": "12345678"}),
        refusal(world, {"otpId": "../../etc", "otp": "12345678"}),
        *(refusal(world, otp) for otp in (used, locked, revoked)),
    ]
    world.clock.now += 601
    answers.append(refusal(world, expired))

    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["status"] == 401
    assert answers[0]["code"] == "OTP_REJECTED"


def test_expired_counts_although_the_row_is_still_there(world: World) -> None:
    issued = world.issue(expires_in=60)
    world.clock.now += 60

    refusal(world, issued)
    assert world.manager.get(issued["otpId"])["state"] == "EXPIRED"


@pytest.mark.parametrize("skew", [-600, 600])
def test_a_clock_ten_minutes_off_moves_the_expiry_and_nothing_else(world: World, skew: int) -> None:
    """GIVEN one function's clock is off THEN codes are still single use, five attempts, revocable."""
    issued, misses, revoked = (world.issue(expires_in=3600) for _ in range(3))
    world.manager.revoke(revoked["otpId"], PORTAL)
    for _ in range(5):
        refusal(world, misses, code=wrong(misses["otp"]))
    world.clock.now += skew

    world.redeem(issued)
    for otp in (issued, misses, revoked):
        refusal(world, otp)
    world.clock.now -= 2 * skew
    for otp in (issued, misses, revoked):
        refusal(world, otp)


def test_who_lost_the_reply_gets_the_same_token_again(world: World) -> None:
    issued = world.issue()
    first = world.redeem(issued, nonce=NONCE)
    world.clock.now += 5
    again = world.redeem(issued, nonce=NONCE)

    assert again == {**first, "expiresIn": 3595}
    shown = world.manager.get(issued["otpId"])
    assert (shown["uses"], shown["attempts"]) == (1, 0)
    assert events_of(world.tables).count("OTP Redeemed") == 1


def test_a_nonce_without_the_code_gets_nothing_and_is_charged(world: World) -> None:
    """Whoever knows the nonce of a used code must not get to guess without limit."""
    issued = world.issue()
    world.redeem(issued, nonce=NONCE)
    for _ in range(5):
        refusal(world, issued, code=wrong(issued["otp"]), nonce=NONCE)

    refusal(world, issued, nonce=NONCE)


def test_another_nonce_gets_nothing(world: World) -> None:
    issued = world.issue()
    world.redeem(issued, nonce=NONCE)

    refusal(world, issued, nonce=NONCE.upper())


class SentTwice(OtpStore):
    """The SDK sends the winning write again, and reports what came of the second."""

    def use(self, *arguments: Any) -> Rejection | None:
        assert super().use(*arguments) is None
        return super().use(*arguments)


def test_a_winner_whose_own_write_is_reported_as_failed_still_wins(world: World) -> None:
    """GIVEN the winning write arrives twice WHEN the second is refused THEN the nonce in the row says who won."""
    issued = world.issue(max_uses=2)
    world.store_class = SentTwice

    answer = world.redeem(issued, nonce=NONCE)

    assert world.access_tokens.find(answer["accessToken"]) is not None
    assert world.manager.get(issued["otpId"])["uses"] == 1


def test_killed_between_the_writes_costs_one_attempt(world: World) -> None:
    issued = world.issue()
    world.store.charge(issued["otpId"], codes.nonce_tag(issued["otpId"], NONCE), int(world.clock()))

    assert world.manager.get(issued["otpId"])["attemptsLeft"] == 4
    world.redeem(issued, nonce=NONCE)


def test_a_code_all_of_whose_attempts_died_is_locked_and_said_so(world: World) -> None:
    issued = world.issue()
    for _ in range(5):
        world.store.charge(issued["otpId"], "x", int(world.clock()))
    refusal(world, issued)
    assert "OTP Locked" not in events_of(world.tables)

    world.clock.now += 61
    refusal(world, issued)
    assert events_of(world.tables).count("OTP Locked") == 1


class RevokedMeanwhile(OtpStore):
    """Somebody revokes the code between the two writes."""

    def use(self, *arguments: Any) -> Rejection | None:
        super().revoke(arguments[0].otp_id, arguments[3])
        return super().use(*arguments)


def test_revoked_while_redeeming_gives_nothing(world: World) -> None:
    issued = world.issue()
    world.store_class = RevokedMeanwhile

    refusal(world, issued)
    assert aws.dynamodb().scan(TableName=world.tables.access_tokens)["Count"] == 0


@pytest.mark.parametrize("birth_date", [None, "19610413"])
def test_a_wrong_birth_date_is_a_miss_like_any_other(world: World, birth_date: str | None) -> None:
    issued, plain = world.issue(require_birth_date=True), world.issue()
    answer = refusal(world, issued, birth_date=birth_date)

    assert answer == refusal(world, plain, code=wrong(plain["otp"]))
    assert world.manager.get(issued["otpId"])["attemptsLeft"] == 4


def test_the_right_birth_date_opens(world: World) -> None:
    issued = world.issue(require_birth_date=True)

    assert world.redeem(issued, birth_date=BIRTH_DATE)["studyUID"] == STUDY


def test_a_code_is_typed_with_hyphens_and_small_letters(world: World) -> None:
    issued = world.issue(expires_in=86_400)
    code = issued["otp"]

    assert len(code) == 13
    assert world.redeem(issued, code=f"{code[:5]}-{code[5:]}".lower())["studyUID"] == STUDY


def test_rotation_leaves_live_codes_working(world: World) -> None:
    """GIVEN a code under k1 WHEN k2 becomes current THEN both work, also for functions that had read k1 only."""
    issued = world.issue()
    stale = world.keyring
    stale.current()
    master_secret("master", {**MASTER, "current": "k2", "k2": NEW_KEY})
    world.keyring = keyring("master")
    newer = world.issue()
    row = world.store.get(newer["otpId"])

    assert row is not None
    assert row.key_id == "k2"
    world.keyring = stale
    assert world.redeem(newer)["studyUID"] == STUDY
    assert world.redeem(issued)["studyUID"] == STUDY


def test_a_key_taken_away_refuses_its_codes(world: World) -> None:
    issued = world.issue()
    master_secret("master", {"current": "k2", "k2": NEW_KEY})
    world.keyring = keyring("master")

    refusal(world, issued)


@pytest.mark.parametrize("value", [{}, {"current": "k1"}, {"current": "k1", "k1": "short"}, {"current": "current"}])
def test_a_master_secret_that_makes_no_sense_is_the_operators_to_repair(world: World, value: dict[str, str]) -> None:
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


def test_a_row_held_by_another_transaction_is_waited_for(world: World, pauses: list[int]) -> None:
    issued = world.issue()
    busy = Busy(3, "TransactionConflictException")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws, "dynamodb", lambda: busy)
        outcome = OtpStore(world.tables).charge(issued["otpId"], "x", int(world.clock()))

    assert not isinstance(outcome, Rejection)
    assert len(pauses) == 3


@pytest.mark.parametrize(("times", "code"), [(99, "TransactionConflictException"), (1, "InternalServerError")])
def test_an_outage_is_said_and_not_taken_for_a_refusal(world: World, pauses: list[int], times: int, code: str) -> None:
    issued = world.issue()
    busy = Busy(times, code)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Unavailable):
        patch.setattr(aws, "dynamodb", lambda: busy)
        OtpStore(world.tables).charge(issued["otpId"], "x", int(world.clock()))


def test_what_cannot_be_redeemed_costs_the_same_work_and_is_never_compared(world: World) -> None:
    """Unknown and used codes are compared as often, against the code of no id."""
    compared: list[bytes] = []

    def matches(expected: bytes, given: bytes) -> bool:
        compared.append(expected)
        return False

    issued = world.issue()
    world.redeem(issued)
    redeemer = replace(world, matches=matches).redeemer
    for otp_id in (issued["otpId"], codes.new_id()):
        with pytest.raises(Unauthorized):
            redeemer.redeem(RedeemRequest(otp_id, issued["otp"]))

    assert len(compared) == 4
    assert issued["otp"].encode() not in compared
