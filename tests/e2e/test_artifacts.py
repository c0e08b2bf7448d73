"""What `sam build` made, before any of it is deployed: sizes, licences, and that functions find all they import."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

from local.artifacts import IN_THE_RUNTIME, Artifacts, lambda_packages
from local.build import ensure_build
from local.settings import ROOT

LIMIT = 250 * 1024 * 1024  # Lambda: a function's code and layers together, unpacked


@pytest.fixture(scope="module")
def artifacts() -> Artifacts:
    return Artifacts(ensure_build()[1])


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_code_and_layers_of_each_function_fit_into_lambda(artifacts: Artifacts) -> None:
    layer_sizes = {name: size(path) for name, path in artifacts.layers.items()}

    for name, (code, layers) in artifacts.functions.items():
        total = size(code) + sum(layer_sizes[layer] for layer in layers)
        assert total < LIMIT, f"{name} unpacks to {total / 1024 / 1024:.0f} MB"


def test_all_layers_together_fit_into_lambda(artifacts: Artifacts) -> None:
    assert len(artifacts.layers) == 3
    assert 20 * 1024 * 1024 < sum(map(size, artifacts.layers.values())) < LIMIT


def test_layers_leave_out_what_the_runtime_has(artifacts: Artifacts) -> None:
    found = [path for layer in artifacts.layers.values() for path in (layer / "python").iterdir()]

    assert found
    assert [path for path in found if path.name in IN_THE_RUNTIME] == []


def test_no_package_is_in_two_layers(artifacts: Artifacts) -> None:
    names = [path.name for layer in artifacts.layers.values() for path in (layer / "python").glob("*.dist-info")]

    assert names
    assert len(names) == len(set(names))


def licences(folder: Path) -> Iterator[tuple[str, str]]:
    for metadata in sorted(folder.rglob("*.dist-info/METADATA")):
        headers = HeaderParser().parsestr(metadata.read_text())
        stated = [headers.get("License-Expression", ""), headers.get("License", "")]
        stated += [text for text in headers.get_all("Classifier", []) if text.startswith("License ::")]
        yield headers["Name"], "\n".join(filter(None, stated))


def copyleft(licence: str) -> bool:
    """Tell GPL and AGPL; the LGPL permits what a layer does with a library."""
    return bool(re.search(r"(?<![L\w])A?GPL|(?<!Lesser )General Public License", licence))


@pytest.mark.parametrize("text", ["GPL-3.0-only", "AGPL-3.0", "GNU General Public License v3", "License :: GPLv3"])
def test_copyleft_is_told(text: str) -> None:
    assert copyleft(text)


@pytest.mark.parametrize(
    "text", ["MIT", "LGPL-3.0", "GNU Lesser General Public License v3", "BSD-3-Clause", "Apache-2.0"]
)
def test_other_licences_are_let_through(text: str) -> None:
    assert not copyleft(text)


def test_no_layer_carries_copyleft_code(artifacts: Artifacts) -> None:
    found = dict(entry for layer in artifacts.layers.values() for entry in licences(layer))

    assert len(found) > 15
    assert [name for name, licence in found.items() if copyleft(licence)] == []
    assert "pylibjpeg-libjpeg" not in found


def test_layers_carry_bytecode(artifacts: Artifacts) -> None:
    # The build is for the interpreter that runs this test, so it was at hand.
    tag = sys.implementation.cache_tag
    for name, layer in artifacts.layers.items():
        sources = list((layer / "python").rglob("*.py"))
        missing = [s for s in sources if not (s.parent / "__pycache__" / f"{s.stem}.{tag}.pyc").exists()]
        assert len(missing) <= len(sources) // 100, (name, missing[:5])


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lambda_packages(tmp_path_factory.mktemp("runtime"))


def test_each_function_imports_with_its_layers_alone(artifacts: Artifacts, runtime: Path) -> None:
    """MiniStack's own packages are in reach of the functions there, so only this tells a dependency left out."""
    assert artifacts.functions
    for name in artifacts.functions:
        paths = [str(path) for path in artifacts.import_path(name, runtime)]
        program = f"import sys; sys.path[:0] = {paths!r}; import app; assert callable(app.lambda_handler)"
        environment = {"PATH": os.defpath, "AWS_DEFAULT_REGION": "us-east-1"}
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
