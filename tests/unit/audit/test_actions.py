"""Every route of the template is something to the audit, and no function serves a route around it."""

import ast
import re
from pathlib import Path

import pytest

from dicom_service.audit.actions import ACTIONS, ROUTES, action_of
from dicom_service.errors import SettingsError
from tests.support.template import RESOURCES

FUNCTIONS = Path(__file__).parents[3] / "functions"
# What no route takes; it answers 405 and 404 alone.
REST = "/{proxy+}"
AUDIT_ACTIONS = {
    *("dynamodb:UpdateItem", "dynamodb:Query", "dynamodb:BatchGetItem"),
    *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
}


def routes() -> list[tuple[str, str, str]]:
    """Return method, path and function of each route of the template."""
    found = []
    for resource in RESOURCES.values():
        if resource["Type"] == "AWS::Serverless::Function":
            function = resource["Properties"]["CodeUri"].strip("/").rpartition("/")[2]
            for event in resource["Properties"].get("Events", {}).values():
                if event["Type"] == "Api" and event["Properties"]["Path"] != REST:
                    found.append((event["Properties"]["Method"], event["Properties"]["Path"], function))
    return found


def server_of(function: str) -> str:
    """Return the function of the edge that makes the handler of a function."""
    tree = ast.parse((FUNCTIONS / function / "app.py").read_text())
    made = [node.value for node in tree.body if isinstance(node, ast.Assign) and "lambda_handler" in ast.unparse(node)]
    assert len(made) == 1 and isinstance(made[0], ast.Call), function
    return ast.unparse(made[0].func)


def test_every_route_of_the_template_has_an_action_and_every_action_a_route() -> None:
    walked = {(method, path) for method, path, _ in routes()}
    assert len(walked) >= 40
    assert walked == set(ROUTES)


def test_a_route_with_an_action_is_served_with_its_record_and_no_other_is() -> None:
    seen = 0
    for method, path, function in routes():
        expected = "serve_open" if ROUTES[method, path] is None else "serve"
        assert server_of(function) == expected, (method, path)
        seen += expected == "serve_open"
    assert seen == 12


def test_a_route_without_an_action_is_served_to_nobody() -> None:
    with pytest.raises(SettingsError):
        action_of("GET", "/exams/studies/{studyUID}/forgotten")


def test_codes_are_those_of_dicom() -> None:
    assert len(ACTIONS) >= 18
    for action in ACTIONS.values():
        assert re.fullmatch(r"1101\d\d", action.event[0]), action.name
        assert action.changes == (action.kind in "CUD" or action.name in ("redeem", "sign-out")), action.name


def test_no_function_may_remove_or_replace_a_record() -> None:
    allowed: set[str] = set()
    for resource in RESOURCES.values():
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"].get("Policies", []):
                for statement in policy["PolicyDocument"]["Statement"]:
                    if "AuditTable" in str(statement):
                        actions = statement["Action"]
                        allowed |= set(actions if isinstance(actions, list) else [actions])
    assert "dynamodb:UpdateItem" in allowed
    assert allowed <= AUDIT_ACTIONS
