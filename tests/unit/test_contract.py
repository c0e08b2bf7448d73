"""Template, functions, events and OpenAPI document say the same."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

import build_contract
from dicom_service.contract import contract, methods_of, page
from dicom_service.day import read_day
from dicom_service.errors import TITLES, ServiceError, Unauthorized
from tests.support.template import RESOURCES

ROOT = Path(__file__).parents[2]


FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}


# What no other resource takes; it answers 405 and 404 alone.
REST = "/{proxy+}"


def template_routes() -> dict[tuple[str, str], bool]:
    """Each route of the template, and whether it is open to all."""
    routes = {}
    for properties in FUNCTIONS.values():
        for event in properties.get("Events", {}).values():
            if event["Type"] == "Api" and event["Properties"]["Path"] != REST:
                api = event["Properties"]
                # A parameter that may have slashes has a `+` at the gateway alone.
                path = api["Path"].replace("+}", "}")
                routes[api["Method"].lower(), path] = api.get("Auth", {}).get("Authorizer") == "NONE"
    return routes


def document_routes() -> dict[tuple[str, str], bool]:
    return {
        (method, path): operation.get("security") == []
        for path, methods in contract()["paths"].items()
        for method, operation in methods.items()
    }


def test_routes_and_who_may_call_them_are_the_same_in_template_and_document() -> None:
    assert template_routes() == document_routes()


def test_only_the_routes_of_the_design_are_open() -> None:
    opened = {route for route, is_open in template_routes().items() if is_open}
    designed = {("get", "/health"), ("get", "/openapi.json"), ("get", "/docs"), ("post", "/otps/redeem")}
    pages = {("get", "/share"), ("get", "/share/{version}/{file}"), ("get", "/viewer"), ("get", "/viewer/{path}")}
    pages |= {("get", "/desk"), ("get", "/desk/{version}/{file}")}
    designed |= pages
    assert opened == designed


def _is_rest(event: dict[str, Any]) -> bool:
    return bool(event["Type"] == "Api" and event["Properties"]["Path"] == REST)


def test_one_function_answers_what_no_route_takes() -> None:
    rest = {name for name, each in FUNCTIONS.items() for event in each.get("Events", {}).values() if _is_rest(event)}
    events = [event["Properties"] for event in FUNCTIONS["RejectRequestFunction"]["Events"].values()]
    assert rest == {"RejectRequestFunction"}
    assert {event["Method"] for event in events} == {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}
    assert all(event["Auth"] == {"Authorizer": "NONE"} for event in events)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/exams", ["post"]),
        ("/otps/redeem", ["post"]),
        ("/otps/7N42SGRQE0K3W9XH", ["get", "delete"]),
        ("/exams/studies/1.2/series", ["get"]),
        ("/exams/studies/1.2/", []),
        ("/exams/studies//series", []),
        ("/openapiXjson", []),
        ("/nothing", []),
    ],
)
def test_the_methods_of_a_path(path: str, methods: list[str]) -> None:
    assert methods_of(path) == methods


def test_a_day_of_the_document_is_a_day_of_the_service() -> None:
    day = re.compile(contract()["components"]["schemas"]["Day"]["pattern"])
    accepted = 0
    for year in (1900, 1904, 2000, 2023, 2024, 2100, 9999, 999):
        for month in range(14):
            for number in range(33):
                for text in (f"{year:04}{month:02}{number:02}", f"{year:04}-{month:02}-{number:02}"):
                    assert bool(day.search(text)) == (read_day(text) is not None), text
                    accepted += read_day(text) is not None
    assert accepted == 2 * (4 * 365 + 3 * 366)
    for text in ("", "2024-0101", "202401-01", "2024-1-1", "2024011", "20240101 "):
        assert not day.search(text)
        assert read_day(text) is None


def test_the_document_is_valid_openapi() -> None:
    document = contract("https://api.example.org/v1")
    validate(document)
    identifiers = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(identifiers) == len(set(identifiers))


def test_the_document_is_the_one_of_the_sources() -> None:
    assert contract() == {**build_contract.build(), "servers": [{"url": "/"}]}


@pytest.mark.parametrize("second", ["paths: {/a: {}, /a: {}}", "paths: {/health: {}}"])
def test_nothing_is_written_twice(tmp_path: Path, second: str) -> None:
    base = build_contract.SOURCES / "base.yaml"
    (tmp_path / "base.yaml").write_text(base.read_text())
    build_contract.build(tmp_path)
    (tmp_path / "more.yaml").write_text(second)
    with pytest.raises(SystemExit, match=r"twice|too"):
        build_contract.build(tmp_path)


def test_every_secured_route_tells_of_401_and_403() -> None:
    for path, methods in contract()["paths"].items():
        for operation in methods.values():
            if operation.get("security") != []:
                assert {"401", "403"} <= operation["responses"].keys(), path


def test_every_route_tells_what_the_gateway_answers_by_itself() -> None:
    by_itself = {"INTEGRATION_TIMEOUT", "THROTTLED", "AUTHORIZER_FAILURE"}
    wanted = {str(gateway_responses()[name]["StatusCode"]) for name in by_itself}
    assert wanted == {"429", "500", "504"}
    operations = [operation for methods in contract()["paths"].values() for operation in methods.values()]
    assert len(operations) >= 30
    assert [each["operationId"] for each in operations if not wanted <= each["responses"].keys()] == []


def gateway_responses() -> dict[str, dict[str, Any]]:
    [api] = [item for item in RESOURCES.values() if item["Type"] == "AWS::Serverless::Api"]
    responses: dict[str, dict[str, Any]] = api["Properties"]["GatewayResponses"]
    return responses


def test_errors_of_the_gateway_are_shaped_like_those_of_functions() -> None:
    responses = gateway_responses()
    # The types that this API can give: it has no API keys, signatures or usage plans.
    assert {"UNAUTHORIZED", "ACCESS_DENIED", "THROTTLED", "AUTHORIZER_FAILURE", "INTEGRATION_FAILURE"} <= set(responses)
    ours = ServiceError("").problem("").keys()
    for name, response in responses.items():
        text = response["ResponseTemplates"]["application/json"]
        body = json.loads(text.replace("$context.error.messageString", '"said"'))
        assert body["type"] == f"urn:dicom-service:error:{body['code']}", name
        if not name.startswith("DEFAULT_"):
            assert body.keys() == ours, name
            assert (body["status"], body["title"]) == (response["StatusCode"], TITLES[response["StatusCode"]]), name


def test_who_is_not_known_hears_one_code_whoever_answers() -> None:
    text = gateway_responses()["UNAUTHORIZED"]["ResponseTemplates"]["application/json"]
    assert json.loads(text)["code"] == Unauthorized("").code


def test_each_function_has_a_folder_and_a_sample_event() -> None:
    folders = {properties["CodeUri"].strip("/").rpartition("/")[2] for properties in FUNCTIONS.values()}
    assert folders == {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}
    assert folders == {path.stem for path in (ROOT / "events").glob("*.json")}


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html, policy = page()
    assert "default-src 'none'" in policy
    assert "<style>" in html
    # Links may lead elsewhere; nothing is loaded from there.
    loaded = r"""(?:src|srcset|data)\s*=\s*["']?https?:|<link[^>]+https?:|url\(["']?https?:|@import"""
    assert not re.findall(loaded, html)
    assert '<script src="' not in html
