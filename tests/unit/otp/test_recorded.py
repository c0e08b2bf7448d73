"""What redeeming leaves in the audit: what was opened by its code, and of strangers no more than their address."""

import itertools
from typing import Any

import pytest

from dicom_service import aws
from dicom_service.otp import codes
from dicom_service.otp.store import OtpStore
from tests.support.audit import records
from tests.support.otp import STUDY, wrong
from tests.unit.otp.test_functions import call, deployed, with_body

__all__ = ["deployed"]
_numbers = itertools.count()


def redeem(**body: Any) -> tuple[int, dict[str, Any]]:
    event = with_body("redeem_otp", **body)
    request = {**event["requestContext"], "requestId": f"request {next(_numbers)}"}
    # Each try is a request of its own, not the one before again.
    return call("redeem_otp", event | {"requestContext": request, "headers": {}})


def of_redeeming() -> list[dict[str, Any]]:
    return [row for row in records() if row["action"] == "redeem"]


def test_guesses_at_codes_that_do_not_exist_fill_nothing() -> None:
    for number in range(5):
        assert redeem(otpId=f"7N42SGRQE0K3W9X{number}", otp="12345678", studyUID=STUDY)[0] == 400
        assert redeem(otpId=f"7N42SGRQE0K3W9X{number}", otp="12345678")[0] == 401
    found = of_redeeming()
    assert {(row["who"], row["status"], row["count"]) for row in found} == {("unknown", 400, 5), ("unknown", 401, 5)}
    assert not {"study", "patient"} & {name for row in found for name in row}


def test_what_a_code_opened_and_wrong_tries_at_it_are_found_by_its_exam() -> None:
    issued = call("issue_otp")[1]
    for _ in range(3):
        assert redeem(otpId=issued["otpId"], otp=wrong(issued["otp"]))[0] == 401
    assert redeem(token=issued["token"])[0] == 200
    [missed, opened] = sorted(of_redeeming(), key=lambda row: -row["status"])
    assert (missed["status"], missed["count"], opened["status"], opened["count"]) == (401, 3, 200, 1)
    assert missed["study"] == opened["study"] == STUDY
    assert missed["patient"] == opened["patient"] != ""
    assert missed["who"] == opened["who"] == f"otp:{codes.reference(issued['otpId'])}"


@pytest.mark.parametrize("table_answers", [True, False])
def test_no_use_is_counted_before_its_record(table_answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """GIVEN a redemption that ends at its use THEN it has left its record; where it cannot, there is no use."""
    issued = call("issue_otp")[1]
    uses: list[list[Any]] = []

    def ends(*_: object) -> None:
        uses.append([row.get("status") for row in of_redeeming()])
        raise RuntimeError

    monkeypatch.setattr(OtpStore, "use", ends)
    if not table_answers:
        real = aws.dynamodb().update_item

        def update(**given: Any) -> Any:
            return real(**given | ({"TableName": "gone"} if given["TableName"] == "Audit" else {}))

        monkeypatch.setattr(aws.dynamodb(), "update_item", update)
    status, _ = redeem(token=issued["token"])
    assert (status, uses) == ((500, [[None]]) if table_answers else (503, []))
