"""What accompanies a release: licences, listed for just what is shipped and allowed, and the bill of materials."""

import json
import re
import tomllib
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from release import licences
from release.licences import declared_licence, is_allowed, problems, read_index, read_natives
from release.natives import native_libraries
from release.sbom import make_bom, to_json
from release.shipped import LAYERS, PLATFORM, PYTHON, ROOT, shipped_packages, wheel_of

TEXT = licences.FILE.read_text("utf-8")


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json(make_bom()))  # which holds it to the schema
    return found


def wheels(bill: dict[str, Any]) -> list[dict[str, Any]]:
    """The components of a bill that are packages of PyPI."""
    return [each for each in bill["components"] if each.get("purl", "").startswith("pkg:pypi/")]


def test_the_bill_has_what_the_pages_have_from_npm_with_hash_and_licence(bill: dict[str, Any]) -> None:
    listed = {each["name"]: each for each in bill["components"] if each.get("purl", "").startswith("pkg:npm/")}
    locks = [json.loads(path.read_text("utf-8")) for path in (ROOT / "web").glob("*/*.json")]
    assert set(listed) == {lock["package"] for lock in locks} >= {"@ohif/app", "dicom-parser"}
    for lock in locks:
        found = listed[lock["package"]]
        assert found["version"] == lock["version"]
        assert is_allowed(found["licenses"][0]["license"]["id"])
        assert len(found["hashes"][0]["content"]) == 128


def test_third_party_licences_are_those_of_the_locked_packages() -> None:
    assert len(shipped_packages()) > 15
    assert list(problems(TEXT)) == []


def test_a_package_that_is_not_listed_is_reported() -> None:
    without = re.sub(r"^  pillow .*\n", "", TEXT, flags=re.M)
    assert [each.partition(" ")[0] for each in problems(without)] == ["pillow"]


def test_a_package_of_another_version_is_reported() -> None:
    other = TEXT.replace("  requests                2.", "  requests                1.")
    assert len(list(problems(other))) == 2


def test_a_package_under_the_gpl_is_reported() -> None:
    changed = re.sub(r"^(  pillow .*)MIT-CMU$", r"\1GPL-3.0-only", TEXT, flags=re.M)
    assert list(problems(changed)) == ["pillow: GPL-3.0-only may not be shipped"]


def test_a_native_library_under_the_gpl_is_reported() -> None:
    changed = re.sub(r"^(  libwebp  .*)BSD-3-Clause$", r"\1GPL-2.0-or-later", TEXT, flags=re.M)
    assert list(problems(changed)) == ["libwebp in pillow: GPL-2.0-or-later may not be shipped"]


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "AGPL-3.0-or-later", "MIT AND GPL-2.0-or-later", "SSPL-1.0", "Proprietary", ""]
)
def test_a_licence_that_nobody_allowed_may_not_be_shipped(licence: str) -> None:
    assert not is_allowed(licence)


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0 OR BSD-3-Clause", "GPL-3.0-or-later WITH GCC-exception-3.1"])
def test_a_permissive_licence_may_be_shipped(licence: str) -> None:
    assert is_allowed(licence)


def test_a_package_that_states_no_licence_stops_the_release() -> None:
    metadata = Message()
    metadata["Name"], metadata["License"] = "thing", "see the website"
    with pytest.raises(LookupError, match="thing"):
        declared_licence(metadata)


def test_native_libraries_are_found_beside_the_modules(tmp_path: Path) -> None:
    for name in ("pillow.libs/libwebp-bac0fc6b.so.7.2.0", "_gdcm/libsocketxx.so.1.2", "PIL/_imaging.so"):
        path = tmp_path / name
        path.parent.mkdir()
        path.touch()
    assert native_libraries(tmp_path) == {("pillow", "webp"), ("python-gdcm", "socketxx")}


def test_each_listed_package_has_a_text() -> None:
    titles = set(re.findall(r"^={100}\n(\S+ \S+)\n={100}$", TEXT, re.M))
    assert titles == {f"{each.name} {each.version}" for each in read_index(TEXT)}


def test_the_bill_has_what_the_layers_ship(bill: dict[str, Any]) -> None:
    listed = {(each["name"], each["version"]) for each in wheels(bill)}
    assert listed == {(each.name, each.version) for each in shipped_packages()}


def test_each_package_of_the_bill_has_hash_and_licence(bill: dict[str, Any]) -> None:
    packages = wheels(bill)
    assert len(packages) > 15
    assert [each["name"] for each in packages if not (each["hashes"] and each["licenses"])] == []


def test_hashes_of_the_bill_are_those_of_the_requirements(bill: dict[str, Any]) -> None:
    """The build installs with these hashes, so the bill's are of what is installed."""
    pinned = "".join((ROOT / "layers" / layer / "requirements.txt").read_text("utf-8") for layer in LAYERS)
    digests = [each["hashes"][0]["content"] for each in wheels(bill)]
    assert digests
    assert [digest for digest in digests if f"sha256:{digest}" not in pinned] == []


def test_the_bill_has_the_native_libraries(bill: dict[str, Any]) -> None:
    inside = {(inner["name"], each["name"]) for each in bill["components"] for inner in each.get("components", [])}
    assert len(inside) > 20
    assert inside == {(f"lib{name}", package) for name, package, _ in read_natives(TEXT)}


def test_each_layer_of_the_bill_depends_on_its_packages(bill: dict[str, Any]) -> None:
    depends = {each["ref"]: set(each.get("dependsOn", [])) for each in bill["dependencies"]}
    for layer in LAYERS:
        wanted = {f"pkg:pypi/{each.name}@{each.version}" for each in shipped_packages() if each.layer == layer}
        assert wanted
        assert depends[f"layer:{layer}"] == wanted


def test_the_wheel_is_the_one_for_lambda() -> None:
    wheel = wheel_of(next(each for each in shipped_packages() if each.name == "numpy"))
    assert "-cp313-cp313-" in wheel.url
    assert "aarch64" in wheel.url


@pytest.mark.parametrize("layer", LAYERS)
def test_python_and_platform_are_those_that_layers_are_built_for(layer: str) -> None:
    makefile = (ROOT / "layers" / layer / "Makefile").read_text("utf-8")
    assert f"LAYER_PYTHON ?= {PYTHON}\nLAYER_PLATFORM ?= {PLATFORM}\n" in makefile


PROJECTS = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("layers/*/pyproject.toml"),))
PROJECTS += ["pyproject.toml", "local/ministack/pyproject.toml", "local/tinypacs/pyproject.toml"]


@pytest.mark.parametrize("name", PROJECTS)
def test_each_project_states_its_licence_and_authors(name: str) -> None:
    project = tomllib.loads((ROOT / name).read_text("utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert project["authors"]


def test_the_licence_is_the_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
