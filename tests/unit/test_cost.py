"""What an exam costs: requests counted, not estimated, and no more of them than docs/cost.md says."""

import math
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from benchmarks.cost.counting import counting, size
from benchmarks.cost.flows import FLOWS, Flow, count
from benchmarks.cost.load import load_limits, simulate
from benchmarks.cost.prices import SERVICES, bill, load_prices, units
from benchmarks.cost.viewing import look, usd
from dicom_service import aws
from tests.support.cloud import ENVIRONMENT

FORMS, ZIP, DROPPED, LARGE, DIRECT = FLOWS


def few(flow: Flow, number: int = 40) -> Flow:
    return replace(flow, instances=number, files=1 if flow.zipped else number)


def test_what_an_exam_of_forms_is_billed_for() -> None:
    counted = count(few(FORMS))
    # One form and one read a file, and nothing else.
    assert (counted["S3 PUT"], counted["S3 GET"]) == (40, 40)
    # Seven units a file: announced 1; claimed, registered and finished in a transaction each, which counts twice.
    assert 7 * 40 < counted["DynamoDB WRU"] <= 7 * 40 + 60
    # Each object's event is a message; of ten messages one receive, one deletion and one lease.
    assert 40 < counted["SQS"] <= 40 + 40


def test_a_zip_costs_no_request_a_file() -> None:
    counted = count(few(ZIP))
    assert counted["S3 PUT"] + counted["S3 GET"] <= 20
    assert 4 * 40 < counted["DynamoDB WRU"] <= 4 * 40 + 40


def test_a_body_of_several_files_costs_no_request_to_s3_and_four_units_a_file() -> None:
    assert DIRECT.per_request == 8
    counted = count(replace(few(DIRECT), megabytes=20))
    assert counted["API calls"] == math.ceil(40 / 8)
    assert counted["S3 PUT"] == counted["S3 GET"] == 0
    # Claimed and registered, each in a transaction; the exam's row for each request.
    assert 4 * 40 < counted["DynamoDB WRU"] <= 4 * 40 + 60


def test_a_large_image_is_read_by_three_requests_at_most() -> None:
    counted = count(LARGE)
    assert (counted["S3 PUT"], counted["S3 GET"]) == (1, 3)
    assert counted["DynamoDB WRU"] <= 30


def test_a_slice_is_put_twice_at_the_first_look_and_read_once_at_the_next() -> None:
    """The mark of who fetches it, and the frame; the series' metadata likewise. Who missed one looks for none."""
    first, after = look(4)
    assert (first.requests, first.counted["S3 PUT"], first.counted["S3 GET"]) == (9, 2 * 5, 0)
    # One mark is tried in vain, then it is known that there are all.
    assert (after.requests, after.counted["S3 PUT"], after.counted["S3 GET"]) == (9, 1, 5)
    # Its record in the audit with two indexes, and the count of the access token.
    assert first.counted["DynamoDB WRU"] == after.counted["DynamoDB WRU"] == 9 * 4
    prices = load_prices()
    assert set(usd(first, prices)) == set(SERVICES)
    more = sum(usd(first, prices).values()) - sum(usd(after, prices).values())
    assert more == pytest.approx((9 * 5.0 - 5 * 0.4) / 1e6)


def test_money_is_units_times_prices() -> None:
    prices = load_prices()
    counted = count(few(FORMS, 3))
    lines = bill(few(FORMS, 3), counted, prices)
    assert set(lines) == set(SERVICES)
    # A million exams at a price for a million: the units of one exam times the price.
    assert lines["S3 requests"] == pytest.approx(3 * 5.0 + 3 * 0.4)
    assert units(few(FORMS, 3), counted, prices)["API Gateway"] == 11
    # Each of those calls has a record in the audit, with its two indexes.
    assert lines["DynamoDB writes"] == pytest.approx((counted["DynamoDB WRU"] + 11 * 3) * 0.625)


def test_transactions_count_twice_and_urls_that_are_only_signed_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    aws.forget_clients()
    with mock_aws():
        keys = {"KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}], "BillingMode": "PAY_PER_REQUEST"}
        kinds = [{"AttributeName": "k", "AttributeType": "S"}]
        boto3.client("dynamodb").create_table(TableName="t", AttributeDefinitions=kinds, **keys)  # type: ignore[arg-type]
        long = {"k": {"S": "b"}, "v": {"S": "x" * 1500}}
        with counting() as counted:
            aws.dynamodb().put_item(TableName="t", Item=long)
            assert counted["DynamoDB WRU"] == 2
            aws.transact([{"Put": {"TableName": "t", "Item": {"k": {"S": name}}}} for name in "cde"])
            assert counted["DynamoDB WRU"] == 2 + 6
            aws.get("t", {"k": "b"})
            list(aws.batch_get("t", [{"k": "b"}, {"k": "gone"}], consistent=True))
            assert counted["DynamoDB RRU"] == 1 + 2
            aws.s3().generate_presigned_post("b", "k")
            assert counted["S3 PUT"] == counted["S3 GET"] == 0
        # Behind it nothing is counted any more.
        aws.dynamodb().put_item(TableName="t", Item=long)
        assert counted["dynamodb.PutItem"] == 1
    aws.forget_clients()
    assert size(long) == 1 + 1 + 1 + 1500


def test_the_first_limit_is_named_and_what_it_cannot_take_waits() -> None:
    limits, counted = load_limits(), {"DynamoDB WRU": 2100}
    quiet = simulate(1, 2, 300, counted, limits)
    assert (quiet.first, quiet.backlog_minutes) == ("IngestConcurrency", 0)
    assert quiet.used["IngestConcurrency"] == pytest.approx(5 / 100)
    # 500 files a second come and 100 are taken: after ten minutes 2,400 s of work are left.
    busy = simulate(100, 2, 300, counted, limits)
    assert busy.first == "IngestConcurrency"
    assert busy.backlog_minutes == pytest.approx(40)
    # With enough invocations it is the PACS.
    assert simulate(100, 50, 300, counted, limits).first == "the PACS"


def test_the_document_has_the_date_of_the_prices() -> None:
    text = (Path(__file__).parents[2] / "docs/cost.md").read_text()
    assert load_prices()["date"] in text
