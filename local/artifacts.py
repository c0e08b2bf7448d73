"""The output of `sam build`: the layers, the functions, and the import path of each function."""

from pathlib import Path
from typing import Any

from local.template import load_template


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

    def import_path(self, function: str) -> list[Path]:
        """Return the folders that a function imports from, in order: its code, its layers."""
        code, layers = self.functions[function]
        return [code, *(self.layers[layer] / "python" for layer in layers)]
