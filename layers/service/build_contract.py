"""Builds the OpenAPI document that the layer ships: ``openapi/*.yaml``, one file a capability, become one JSON.

``python build_contract.py [TARGET]`` writes ``dicom_service/openapi.json``, or TARGET. The layer's Makefile, the local
bootstrap and the tests call it; at run time nothing reads YAML.

The files are plain YAML 1.1. A key ``x-shared`` holds what anchors of the same file name, and is left out. What every
route answers alike is added here, so that no file repeats it: 429, 500 and 504 everywhere, 401, 403 and 503 where a
credential is needed, and the errors of the PACS to operations with ``x-pacs: true``.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
SOURCES = HERE / "openapi"
TARGET = HERE / "dicom_service" / "openapi.json"

# The gateway answers these by itself, whatever the route.
_EVERYWHERE = {"429": "TooManyRequests", "500": "InternalError", "504": "TookTooLong"}
_SECURED = {"401": "Unauthorized", "403": "Forbidden", "503": "PacsBusy"}
_PACS = {"502": "PacsTrouble"}


class _Loader(yaml.CSafeLoader):
    """Reads YAML in which no key is given twice; PyYAML lets the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise SystemExit(f"{node.start_mark}: given twice: {', '.join(sorted(twice))}")
        return super().construct_mapping(node, deep)


def build(sources: Path = SOURCES) -> dict[str, Any]:
    """Return the whole document, without its servers.

    Parameters
    ----------
    sources
        Folder of the YAML files; ``base.yaml`` comes first.
    """
    others = sorted(path for path in sources.glob("*.yaml") if path.name != "base.yaml")
    document = _read(sources / "base.yaml")
    for path in others:
        part = _read(path)
        _join(document["paths"], part.get("paths", {}), path)
        document["tags"] += part.get("tags", [])
        for kind, entries in part.get("components", {}).items():
            _join(document["components"].setdefault(kind, {}), entries, path)
    for operations in document["paths"].values():
        for operation in operations.values():
            _add_common(operation)
    return document


def write(target: Path = TARGET) -> None:
    """Write the document to `target`, whole or not at all: others may be reading it."""
    text = json.dumps(build(), separators=(",", ":"), ensure_ascii=False)
    unfinished = target.with_suffix(f".{os.getpid()}")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(target)


def _read(path: Path) -> dict[str, Any]:
    # Aliases are one object in memory; through JSON each becomes its own, which can be changed alone.
    part: dict[str, Any] = json.loads(json.dumps(yaml.load(path.read_text("utf-8"), _Loader)))  # noqa: S506
    part.pop("x-shared", None)
    return part


def _join(known: dict[str, Any], more: dict[str, Any], path: Path) -> None:
    if twice := known.keys() & more.keys():
        raise SystemExit(f"{path}: another file has this too: {', '.join(sorted(twice))}")
    known.update(more)


def _add_common(operation: dict[str, Any]) -> None:
    secured = operation.get("security") != []
    common = _EVERYWHERE | (_SECURED if secured else {}) | (_PACS if operation.get("x-pacs") else {})
    for status, name in common.items():
        operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
