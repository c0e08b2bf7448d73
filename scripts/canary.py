"""Writes the template with canary deployment: a new version of the API's functions gets a tenth of the requests first.

::

    python -m scripts.canary > template.canary.json
    sam build --template-file template.canary.json && sam deploy

Each function of a route gets versions and the alias `live`, which the API calls. CodeDeploy moves it, by
``--preference`` (Canary10Percent5Minutes), and moves it back when `ApiErrorsAlarm` rings meanwhile. Read
docs/deploying.md first; docs/decisions/0051 says why this is no parameter.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).parent.parent / "template.yaml"


class _Loader(yaml.CSafeLoader):
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


def load(path: Path = TEMPLATE) -> dict[str, Any]:
    """Return the template with short forms written out and no object in two places."""
    template: dict[str, Any] = json.loads(json.dumps(yaml.load(path.read_text(), _Loader)))  # noqa: S506 a SafeLoader
    return template


def with_canary(template: dict[str, Any], preference: str) -> dict[str, Any]:
    """Give every function that a route calls an alias, and a way for it to move."""
    for resource in template["Resources"].values():
        events = resource.get("Properties", {}).get("Events", {}) if _is_function(resource) else {}
        if any(event["Type"] == "Api" for event in events.values()):
            resource["Properties"] |= {
                "AutoPublishAlias": "live",
                # The code is in the layers: a version is due when any property changes.
                "AutoPublishAliasAllProperties": True,
                "DeploymentPreference": {"Type": preference, "Alarms": [{"Ref": "ApiErrorsAlarm"}]},
            }
    return template


def _is_function(resource: dict[str, Any]) -> bool:
    return bool(resource["Type"] == "AWS::Serverless::Function")


def main() -> int:
    """Print the template."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preference", default="Canary10Percent5Minutes")
    print(json.dumps(with_canary(load(), parser.parse_args().preference), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
