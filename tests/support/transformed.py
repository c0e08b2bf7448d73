"""template.yaml as CloudFormation sees it: what SAM's transform makes of it, its generated resources included."""

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
