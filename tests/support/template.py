"""template.yaml as tests read it: tables are made with the keys that are deployed, so that the two cannot drift."""

from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms (!Ref and so on) as plain values."""


def _short_form(loader: _Loader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _short_form)
_TABLE = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")

TEMPLATE: dict[str, Any] = yaml.load((Path(__file__).parents[2] / "template.yaml").read_text(), _Loader)
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
OUTPUTS: dict[str, Any] = TEMPLATE["Outputs"]


def create_table(client: Any, resource: str, name: str = "") -> str:
    """Make a table of the template with a DynamoDB client, under its own name or another; give the name."""
    properties = RESOURCES[resource]["Properties"]
    client.create_table(TableName=name or resource, **{key: properties[key] for key in _TABLE if key in properties})
    return name or resource
