"""template.yaml as tests read it: tables are made with the keys that are deployed, so that the two cannot drift."""

from pathlib import Path
from typing import Any

from local.template import load_template

_TABLE = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")

TEMPLATE: dict[str, Any] = load_template(Path(__file__).parents[2] / "template.yaml")
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
OUTPUTS: dict[str, Any] = TEMPLATE["Outputs"]


def create_table(client: Any, resource: str, name: str = "") -> str:
    """Make a table of the template with a DynamoDB client, under its own name or another; give the name."""
    properties = RESOURCES[resource]["Properties"]
    client.create_table(TableName=name or resource, **{key: properties[key] for key in _TABLE if key in properties})
    return name or resource
