"""template.yaml as CloudFormation sees it: what SAM's transform makes of it, its generated resources included."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from boto3 import Session
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

from scripts.canary import load

# What `sam package` puts in place of folders.
_PACKAGED = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


@cache
def transformed() -> dict[str, Any]:
    """Return the sections of the transformed template; its functions in long form (``Fn::GetAtt``)."""
    return transform(load())


def transform(template: dict[str, Any]) -> dict[str, Any]:
    """Return what SAM makes of a template, which it changes in place."""
    for resource in template["Resources"].values():
        if name := _PACKAGED.get(resource["Type"]):
            resource["Properties"][name] = "s3://packages/package"
    translator = Translator({}, Parser(), boto_session=Session(region_name="eu-central-1"))
    made: dict[str, Any] = translator.translate(template, {})
    return made


def resources(kind: str) -> dict[str, dict[str, Any]]:
    """Return the properties of all transformed resources of a type, by name."""
    found = transformed()["Resources"].items()
    return {name: resource.get("Properties", {}) for name, resource in found if resource["Type"] == kind}


def refusing(parameters: Mapping[str, str]) -> set[str]:
    """Return the rules of the template that refuse to deploy with these parameters, the others at their defaults."""
    template = transformed()
    given = {name: str(parameter.get("Default", "")) for name, parameter in template["Parameters"].items()}
    given |= parameters
    return {
        name
        for name, rule in template["Rules"].items()
        if _holds(rule.get("RuleCondition", {"Fn::And": []}), given)
        and not all(_holds(assertion["Assert"], given) for assertion in rule["Assertions"])
    }


def _holds(condition: Mapping[str, Any], given: Mapping[str, str]) -> bool:
    ((function, of),) = condition.items()
    match function:
        case "Fn::And":
            return all(_holds(each, given) for each in of)
        case "Fn::Or":
            return any(_holds(each, given) for each in of)
        case "Fn::Not":
            return not _holds(of[0], given)
        case "Fn::Equals":
            first, second = (given[value["Ref"]] if isinstance(value, dict) else value for value in of)
            return bool(first == second)
    raise ValueError(f"no rule has had {function} so far")
