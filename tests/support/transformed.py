"""template.yaml as CloudFormation sees it: what SAM's transform makes of it, its generated resources included."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from boto3 import Session
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

# What `sam package` puts in place of folders.
_PACKAGED = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}


class _Loader(yaml.SafeLoader):
    """Writes CloudFormation's short forms out: ``!Ref name`` as ``{"Ref": name}``."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.MappingNode):
        value: Any = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = node.value.split(".", 1) if suffix == "GetAtt" else node.value
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


@cache
def transformed() -> dict[str, Any]:
    """Return the sections of the transformed template; its functions in long form (``Fn::GetAtt``)."""
    text = (Path(__file__).parents[2] / "template.yaml").read_text()
    # Through JSON: an anchor that is used twice must not be one object, which SAM changes in place.
    template = json.loads(json.dumps(yaml.load(text, _Loader)))
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
