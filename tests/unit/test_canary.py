"""The template for canary deployment, transformed: the API calls aliases, and an alarm moves them back."""

import json
from functools import cache
from typing import Any

import pytest

from scripts.canary import load, main, with_canary
from tests.support.transformed import resources, transform, transformed

KIND = "AWS::CodeDeploy::DeploymentGroup"


@cache
def canary() -> dict[str, Any]:
    made: dict[str, Any] = transform(with_canary(load(), "Canary10Percent5Minutes"))["Resources"]
    return made


def called(made: dict[str, Any]) -> set[str]:
    """Return what the routes of an API call."""
    operations = [each for path in made["Api"]["Properties"]["Body"]["paths"].values() for each in path.values()]
    uris = [json.dumps(operation["x-amazon-apigateway-integration"]["uri"]) for operation in operations]
    return {uri.split("functions/${")[1].split("}")[0].removesuffix(".Arn") for uri in uris}


def test_every_route_calls_an_alias_that_codedeploy_moves() -> None:
    functions = called(transformed()["Resources"])
    assert len(functions) > 30
    assert called(canary()) == {f"{name}Aliaslive" for name in functions}
    for name in functions:
        update = canary()[f"{name}Aliaslive"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = canary()[update["DeploymentGroupName"]["Ref"]]["Properties"]
        assert group["AlarmConfiguration"]["Alarms"] == [{"Name": {"Ref": "ApiErrorsAlarm"}}]
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        assert "Canary10Percent5Minutes" in json.dumps(group["DeploymentConfigName"])


def test_functions_of_queues_and_clocks_and_the_plain_template_have_none() -> None:
    groups = {name for name, resource in canary().items() if resource["Type"] == KIND}
    assert groups == {f"{name}DeploymentGroup" for name in called(transformed()["Resources"])}
    assert resources(KIND) == {}


def test_a_version_is_made_when_only_the_layers_change() -> None:
    template = with_canary(load(), "Linear10PercentEvery1Minute")
    template["Globals"]["Function"]["Layers"].append("arn:aws:lambda:eu-central-1:1:layer:another:1")
    changed = transform(template)["Resources"]
    versions = [{name for name in made if made[name]["Type"] == "AWS::Lambda::Version"} for made in (canary(), changed)]
    assert len(versions[0]) == len(versions[1]) > 30
    assert not versions[0] & versions[1]


def test_it_is_within_the_quotas_and_printed_as_a_template(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(canary()) < 500
    assert len(json.dumps(canary())) < 1_000_000
    monkeypatch.setattr("sys.argv", ["canary"])
    assert main() == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["Transform"] == "AWS::Serverless-2016-10-31"
