"""The edge: parameters without case, all errors at once, problems for every failure, nothing of a patient in a log."""

import base64
import json
from typing import Any

import pytest
from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, base_url, body_bytes, check_uid, create_app, json_body, serve_open
from dicom_service.errors import BadRequest, PacsError, PayloadTooLarge
from dicom_service.query import Query


def event(path: str = "/things", **changes: Any) -> dict[str, Any]:
    return {
        "httpMethod": "GET",
        "path": path,
        "resource": path,
        "headers": {"host": "api.example.org"},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "requestContext": {"requestId": "req-1", "domainName": "api.example.org", "path": f"/v1{path}"},
        "body": None,
        "isBase64Encoded": False,
        **changes,
    }


def run(handle: Any, given: dict[str, Any], *, method: str = "GET", route: str = "/things") -> dict[str, Any]:
    app = create_app()
    app.route(route, method=method)(lambda **parameters: handle(app, **parameters))
    return serve_open(app)({**given, "httpMethod": method}, None)


def query_event(**parameters: str) -> dict[str, Any]:
    return event(
        queryStringParameters=parameters, multiValueQueryStringParameters={k: [v] for k, v in parameters.items()}
    )


@pytest.mark.parametrize(
    ("parameters", "code", "blamed"),
    [
        ({"studyUID": "1.2.3", "seriesUID": "1..2"}, "INVALID_UID", "seriesUID"),
        ({"studyUID": "x", "seriesUID": "1.2"}, "INVALID_UID", "studyUID"),
        ({"studyUID": "1.2.3", "seriesUID": "1.2"}, "NO_SUCH_ROUTE", None),
    ],
)
def test_a_path_without_a_route_blames_the_parameter_that_is_wrong(
    parameters: dict[str, str], code: str, blamed: str | None
) -> None:
    answered = run(lambda app: answer({}), event("/nowhere", pathParameters=parameters))
    problem = json.loads(answered["body"])
    assert (problem["code"], problem.get("errors", [{}])[0].get("field")) == (code, blamed)


@pytest.mark.parametrize("spelling", ["patientID", "patientId", "PatientID", "PATIENTID"])
def test_parameter_names_are_compared_without_case(spelling: str) -> None:
    def handle(app: Any) -> Response[Any]:
        query = Query(app, "patientID")
        query.check()
        return answer(query.text("patientID"))

    assert json.loads(run(handle, query_event(**{spelling: "P 1"}))["body"]) == "P 1"


def test_everything_wrong_is_told_at_once() -> None:
    def handle(app: Any) -> Response[Any]:
        query = Query(app, "limit", "from", "studyUID", "format")
        query.integer("limit", default=1, minimum=1, maximum=10)
        query.date("from")
        query.uid("studyUID")
        query.choice("format", ("dicom", "simple"))
        query.check()
        return answer({})

    given = query_event(limit="11", **{"from": "2024-02-30"}, studyUID="1.2/../3", format="xml", patientd="x")
    response = run(handle, given)
    problem = json.loads(response["body"])
    assert response["statusCode"] == 400
    assert {error["field"] for error in problem["errors"]} == {"limit", "from", "studyUID", "format", "patientd"}
    assert response["multiValueHeaders"]["Content-Type"] == ["application/problem+json"]


def test_a_parameter_given_twice_is_refused() -> None:
    def handle(app: Any) -> Response[Any]:
        Query(app, "patientID").check()
        return answer({})

    given = event(multiValueQueryStringParameters={"patientID": ["1", "2"]}, queryStringParameters={"patientID": "2"})
    assert run(handle, given)["statusCode"] == 400


def test_dates_are_given_as_dicom_has_them() -> None:
    def handle(app: Any) -> Response[Any]:
        return answer([Query(app, "from", "to").date("from"), Query(app, "from", "to").date("to")])

    body = run(handle, query_event(**{"from": "2024-02-29"}, to="20240301"))["body"]
    assert json.loads(body) == ["20240229", "20240301"]


def test_an_unexpected_error_says_nothing_of_a_patient(caplog: pytest.LogCaptureFixture) -> None:
    def handle(app: Any) -> Response[Any]:
        raise KeyError("ROSSI^MARIO")

    response = run(handle, event())
    logged = " ".join(str(vars(record)) for record in caplog.records)
    assert response["statusCode"] == 500
    assert json.loads(response["body"])["requestId"] == "req-1"
    assert "ROSSI" not in response["body"] + logged
    assert "KeyError" in logged


def test_pacs_trouble_keeps_its_status_and_headers() -> None:
    def handle(app: Any) -> Response[Any]:
        raise PacsError("busy", status=503, code="PACS_BUSY", headers={"Retry-After": "7"})

    response = run(handle, event())
    assert (response["statusCode"], response["multiValueHeaders"]["Retry-After"]) == (503, ["7"])
    assert json.loads(response["body"])["code"] == "PACS_BUSY"


@pytest.mark.parametrize("value", ["../1", "1..2", "1.2.", "", "1" * 65, "1.2%2f", "a.b", "1.2\n"])
def test_what_is_no_uid_is_refused_before_it_is_used(value: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_uid("studyUID", value)
    assert caught.value.code == "INVALID_UID"


def test_a_path_that_no_route_can_hold_is_a_bad_uid() -> None:
    given = event('/things/a"b', pathParameters={"studyUID": 'a"b'}, resource="/things/{studyUID}")
    response = run(lambda app, **_: answer({}), given, route="/things/<studyUID>")
    assert (response["statusCode"], json.loads(response["body"])["code"]) == (400, "INVALID_UID")


def test_bodies_come_out_as_they_were_sent_and_too_long_ones_do_not() -> None:
    sent = bytes(range(256))
    given = event(body=base64.b64encode(sent).decode(), isBase64Encoded=True)
    assert run(lambda app: answer(len(body_bytes(app, 256))), given)["body"] == "256"
    assert run(lambda app: answer(len(body_bytes(app, 255))), given)["statusCode"] == PayloadTooLarge.status


BAD_BODIES = [
    "",
    "[1]",
    "{",
    "nonsense",
    "[" * 100_000,
    '{"a": "\\ud800"}',
    '{"\\udfff": 1}',
    '{"a": [{"b": "x\\udc00y"}]}',
    '{"a": "\\u0000"}',
    '{"a\\u0000": 1}',
    '{"a": NaN}',
    '{"a": -Infinity}',
    '{"a": 1e999}',
    '{"a": ' + "9" * 5000 + "}",
    '{"a": ' * 40 + "1" + "}" * 40,
    '{"a": ' + "[" * 40 + "]" * 40 + "}",
]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_what_is_no_json_object_is_refused(body: str) -> None:
    response = run(lambda app: answer(json_body(app)), event(body=body), method="POST")
    assert (response["statusCode"], json.loads(response["body"])["code"]) == (400, "NOT_JSON")


def test_encoded_surrogates_are_not_utf_8() -> None:
    given = event(body=base64.b64encode(b'{"a": "\xed\xa0\x80"}').decode(), isBase64Encoded=True)
    assert run(lambda app: answer(json_body(app)), given, method="POST")["statusCode"] == 400


def test_a_good_body_is_given_as_it_is() -> None:
    body = '{"a": "\\ud83d\\ude00 é", "b": [1, 2.5, null, {"c": true}]}'
    response = run(lambda app: answer(json_body(app)), event(body=body), method="POST")
    assert json.loads(response["body"]) == {"a": "\U0001f600 é", "b": [1, 2.5, None, {"c": True}]}


def test_a_lone_surrogate_of_a_pacs_leaves_as_an_escape() -> None:
    response = run(lambda app: answer({"a": "é\ud800"}), event())
    assert json.loads(response["body"]) == {"a": "é\ud800"}
    response["body"].encode()


@pytest.mark.parametrize("value", ["", " ", "*", "A*", "A?", "???", "A\\B", "A\ud800", "A\ufffd", "A\x00"])
def test_an_exact_filter_takes_no_wildcards_and_is_not_empty(value: str) -> None:
    def handle(app: Any) -> Response[Any]:
        query = Query(app, "patientID")
        query.exact("patientID")
        query.check()
        return answer({})

    response = run(handle, query_event(patientID=value))
    assert (response["statusCode"], json.loads(response["body"])["code"]) == (400, "INVALID_PARAMETER")


@pytest.mark.parametrize(("value", "status"), [("*", 400), ("?^*", 400), ("R*", 200), ("ROSSI^MARIO", 200)])
def test_a_name_has_more_than_wildcards(value: str, status: int) -> None:
    def handle(app: Any) -> Response[Any]:
        query = Query(app, "patientName")
        query.name_pattern("patientName")
        query.check()
        return answer({})

    assert run(handle, query_event(patientName=value))["statusCode"] == status


@pytest.mark.parametrize(
    ("first", "last", "status"),
    [
        ("20260101", "20260101", 200),
        ("20260102", "2026-01-01", 400),
        ("2026011", "20260101", 400),
        ("20260101", "", 400),
    ],
)
def test_a_range_of_days_is_not_reversed(first: str, last: str, status: int) -> None:
    def handle(app: Any) -> Response[Any]:
        query = Query(app, "from", "to")
        query.date_range("from", "to")
        query.check()
        return answer({})

    assert run(handle, query_event(**{"from": first, "to": last}))["statusCode"] == status


def test_the_base_url_is_the_gateways_whatever_the_headers_say() -> None:
    given = event(headers={"Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"})
    assert json.loads(run(lambda app: answer(base_url(app)), given)["body"]) == "https://api.example.org/v1"
