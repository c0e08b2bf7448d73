"""The template as plain values: template.yaml, or what `sam build` makes of it."""

from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.CSafeLoader):
    """Reads CloudFormation's short forms (!Ref and so on) as the values that they hold; merge keys are expanded."""


def _short_form(loader: _Loader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return node.value


_Loader.add_multi_constructor("!", _short_form)


def load_template(path: Path) -> dict[str, Any]:
    """Return the sections of a template. `sam build` writes short forms in their long form: {"Ref": name}."""
    template: dict[str, Any] = yaml.load(path.read_text(), _Loader)  # noqa: S506 a SafeLoader
    return template
