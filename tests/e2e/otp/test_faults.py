"""Lost replies, codes past their time, clocks that are off: on the deployed tables, each with its control."""

import http.client
import json
import secrets
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from dicom_service.auth.access_tokens import AccessTokens
from dicom_service.errors import Unauthorized
from dicom_service.otp.store import OtpStore
from tests.support.otp import PORTAL, Harness
from tests.support.otp_stack import StoredExam, issue, scaled
from tests.support.stack import Stack


def redeem_and_hang_up(stack: Stack, issued: dict[str, Any], nonce: str) -> None:
    """Send the winning request, wait for the first byte of the answer, and lose the rest."""
    url = urlsplit(f"{stack.api_url}/otps/redeem")
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    headers = {"Content-Type": "application/json", "Idempotency-Key": nonce}
    connection.request("POST", url.path, json.dumps({"token": issued["token"]}), headers)
    connection.sock.recv(1)
    connection.close()


def test_who_lost_the_reply_wins_with_the_same_key(stack: Stack, exam: StoredExam) -> None:
    replies = scaled(3, 50)
    for _ in range(replies):
        issued, nonce = issue(stack, exam), secrets.token_urlsafe(16)
        redeem_and_hang_up(stack, issued, nonce)
        body, headers = {"token": issued["token"]}, {"Idempotency-Key": nonce}
        again = stack.request("POST", "/otps/redeem", key=None, json=body, headers=headers)
        assert again.status_code == 200
        assert stack.request("GET", f"{exam.path}/series", key=again.json()["accessToken"]).status_code == 200
        shown = stack.request("GET", f"/otps/{issued['otpId']}").json()
        assert (shown["uses"], shown["attempts"], len(shown["redemptions"])) == (1, 0, 1)
    print(f"{replies} replies lost after the winning write: {replies} retries won, none used a code twice")


def test_control_who_lost_the_reply_and_has_no_key_is_rejected(stack: Stack, exam: StoredExam) -> None:
    issued = issue(stack, exam)
    redeem_and_hang_up(stack, issued, secrets.token_urlsafe(16))

    assert stack.request("POST", "/otps/redeem", key=None, json={"token": issued["token"]}).status_code == 401


class ExpiryUnguarded(OtpStore):
    """The first write asks no more whether the code has expired: as if deletion by TTL were enough."""

    CHARGE_IF = OtpStore.CHARGE_IF.replace("expiresAt > :now", ":now > :one")


def expired(harness: Harness) -> dict[str, Any]:
    issued = harness.issue(expires_in=60)
    harness.clock.now += 61
    assert harness.store.get(issued["otpId"]) is not None, "the row must still be there"
    return issued


def test_expired_but_not_yet_deleted_is_rejected(harness: Harness) -> None:
    with pytest.raises(Unauthorized):
        harness.redeem(expired(harness))


def test_control_without_the_condition_on_expiry_it_opens(harness: Harness) -> None:
    issued = expired(harness)
    harness.store_class = ExpiryUnguarded

    assert harness.redeem(issued)["tokenType"] == "Bearer"


@pytest.mark.parametrize("skew", [-600, 600])
def test_functions_whose_clocks_differ_by_ten_minutes_still_agree(harness: Harness, skew: int) -> None:
    """GIVEN a code used on one function WHEN another's clock is off THEN it is used there too; only expiry moves."""
    issued = harness.issue(expires_in=3600)
    skewed = replace(harness, clock=replace(harness.clock, now=harness.clock.now + skew))
    skewed.redeem(issued)
    for somebody in (harness, skewed):
        with pytest.raises(Unauthorized):
            somebody.redeem(issued)
    late = harness.issue(expires_in=3600)
    harness.clock.now += 3600 - skew - 1
    skewed.clock.now += 3600 - skew - 1
    assert skewed.redeem(late)["tokenType"] == "Bearer"
    # AND past its time on that function's clock it is rejected there, and there alone where the clock is ahead
    ended = harness.issue(expires_in=3600)
    skewed.clock.now = harness.clock.now + 3600 + 1
    with pytest.raises(Unauthorized):
        skewed.redeem(ended)
    assert harness.redeem(ended)["tokenType"] == "Bearer"


class RevocationUnguarded(AccessTokens):
    """Trusts the token's own row and asks no more for its code's state."""

    def _state(self, otp_id: str) -> str | None:
        return "ACTIVE"


def test_revoked_is_revoked_in_the_next_request_and_the_control_is_not(harness: Harness) -> None:
    issued = harness.issue()
    token = harness.redeem(issued)["accessToken"]
    assert harness.access_tokens.find(token) is not None
    harness.manager.revoke(issued["otpId"], PORTAL)

    assert harness.access_tokens.find(token) is None
    careless = RevocationUnguarded(harness.tables.access_tokens, harness.tables.otps, clock=harness.clock)
    assert careless.find(token) is not None
