"""The output of `sam build`: the layers, the functions, and the import path of each function."""

from pathlib import Path
from typing import Any

import yaml

from local.template import load_template

# Lambda's Python has these; a copy in a layer would shadow them and cost a third of its size.
IN_THE_RUNTIME = ("boto3", "botocore", "s3transfer")
_NEEDED_BY_THEM = ("jmespath", "dateutil", "six.py", "urllib3")


class Artifacts:
    """The built template and the folders that it names."""

    def __init__(self, template: Path) -> None:
        self._folder = template.parent
        document = load_template(template)
        self._resources: dict[str, Any] = document["Resources"]
        self._common_layers: list[dict[str, str]] = document["Globals"]["Function"]["Layers"]

    def _of_type(self, kind: str) -> dict[str, Any]:
        return {name: r["Properties"] for name, r in self._resources.items() if r["Type"] == kind}

    @property
    def layers(self) -> dict[str, Path]:
        found = self._of_type("AWS::Serverless::LayerVersion")
        return {name: (self._folder / layer["ContentUri"]).resolve() for name, layer in found.items()}

    @property
    def functions(self) -> dict[str, tuple[Path, list[str]]]:
        """Each function's code and the names of its layers."""
        found = self._of_type("AWS::Serverless::Function")
        return {
            name: (
                (self._folder / function["CodeUri"]).resolve(),
                [layer["Ref"] for layer in self._common_layers + function.get("Layers", [])],
            )
            for name, function in found.items()
        }

    def import_path(self, function: str, runtime: Path) -> list[Path]:
        """Return the folders that a function imports from, in order: its code, its layers, Lambda's own packages."""
        code, layers = self.functions[function]
        return [code, *(self.layers[layer] / "python" for layer in layers), runtime]


def lambda_packages(folder: Path) -> Path:
    """Fill a folder with the packages of Lambda's own Python: boto3 and its dependencies."""
    site = Path(yaml.__file__).parent.parent
    for name in (*IN_THE_RUNTIME, *_NEEDED_BY_THEM):
        (folder / name).symlink_to(site / name)
    return folder
