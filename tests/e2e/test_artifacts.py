"""What `sam build` made, before any of it is deployed: sizes, licences, and that functions find all they import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.artifacts import Artifacts
from local.build import ensure_build
from local.settings import ROOT
from release.licences import FILE, read_index, render
from release.natives import LICENCES, native_libraries
from tests.support.aws_services import services_used

PAPERS = ("LICENSE", "NOTICE", "THIRD_PARTY_LICENSES.txt")
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
    assert len(artifacts.layers) == 4
    assert 20 * 1024 * 1024 < sum(map(size, artifacts.layers.values())) < LIMIT


def test_the_service_layer_carries_the_sdk_with_the_data_of_the_services_that_are_used(artifacts: Artifacts) -> None:
    """Beside urllib3 and jmespath, which it ships anyway, the runtime's own SDK would be a mix that nobody locked."""
    packages = artifacts.layers["ServiceLayer"] / "python"
    services = {path.name for path in (packages / "botocore/data").iterdir() if path.is_dir()}

    assert services == services_used()
    assert size(packages / "botocore") + size(packages / "boto3") < 15 * 1024 * 1024


def test_no_package_is_in_two_layers(artifacts: Artifacts) -> None:
    names = [path.name for layer in artifacts.layers.values() for path in (layer / "python").glob("*.dist-info")]

    assert names
    assert len(names) == len(set(names))


def test_no_layer_carries_a_library_that_nobody_looked_at(artifacts: Artifacts) -> None:
    found = {library for layer in artifacts.layers.values() for _, library in native_libraries(layer / "python")}

    assert len(found) > 20
    assert found - set(LICENCES) == set()


def test_no_layer_carries_a_package_that_is_not_listed(artifacts: Artifacts) -> None:
    folders = [path for layer in artifacts.layers.values() for path in (layer / "python").glob("*.dist-info")]
    built = {path.name.removesuffix(".dist-info").rpartition("-")[0].lower().replace("_", "-") for path in folders}

    assert built == {each.name for each in read_index(FILE.read_text("utf-8"))}


def test_each_layer_carries_the_licences(artifacts: Artifacts) -> None:
    for name, layer in artifacts.layers.items():
        carried = {path.name: path.read_text("utf-8") for path in layer.glob("licenses/*/*")}
        assert carried == {each: (ROOT / each).read_text("utf-8") for each in PAPERS}, name


def test_licence_texts_are_those_of_the_wheels() -> None:
    """What Lambda gets, installed anew: a text that changed with a version, or a new native library, is seen here."""
    assert render() == FILE.read_text("utf-8")


def test_layers_carry_bytecode(artifacts: Artifacts) -> None:
    # The build is for the interpreter that runs this test, so it was at hand.
    tag = sys.implementation.cache_tag
    for name, layer in artifacts.layers.items():
        sources = list((layer / "python").rglob("*.py"))
        missing = [s for s in sources if not (s.parent / "__pycache__" / f"{s.stem}.{tag}.pyc").exists()]
        assert len(missing) <= len(sources) // 100, (name, missing[:5])


def test_each_function_imports_with_its_layers_alone(artifacts: Artifacts) -> None:
    """MiniStack's own packages are in reach of the functions there, so only this tells a dependency left out."""
    assert artifacts.functions
    for name in artifacts.functions:
        paths = [str(path) for path in artifacts.import_path(name)]
        program = f"import sys; sys.path[:0] = {paths!r}; import app; assert callable(app.lambda_handler)"
        environment = {"PATH": os.defpath, "AWS_DEFAULT_REGION": "us-east-1"}
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
