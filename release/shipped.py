"""The packages that the layers ship to Lambda, as the lock file pins them."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

ROOT = Path(__file__).parents[1]
LAYERS = ("dicomweb", "service", "imaging")
# The defaults of the layers' Makefiles.
PYTHON, MACHINE = "3.13", "aarch64"
PLATFORM = f"{MACHINE}-manylinux_2_28"
_ENVIRONMENT = {
    "implementation_name": "cpython",
    "platform_machine": MACHINE,
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{PYTHON}.0",
    "python_version": PYTHON,
    "sys_platform": "linux",
}


@dataclass(frozen=True, order=True)
class Package:
    """A package of a layer: its name as in the lock file, and its pinned version."""

    name: str
    version: str
    layer: str


@dataclass(frozen=True)
class Wheel:
    """The file that a layer is built from."""

    url: str
    sha256: str


def shipped_packages() -> list[Package]:
    """Return what the three layers ship, by name."""
    return sorted(package for layer in LAYERS for package in _of_layer(layer))


def _of_layer(layer: str) -> list[Package]:
    lines = (ROOT / "layers" / layer / "requirements.txt").read_text("utf-8").splitlines()
    wanted = [Requirement(line.removesuffix("\\")) for line in lines if "==" in line]
    wanted = [each for each in wanted if each.marker is None or each.marker.evaluate(dict(_ENVIRONMENT))]
    return [Package(each.name, str(each.specifier).removeprefix("=="), layer) for each in wanted]


def wheel_of(package: Package) -> Wheel:
    """Return the wheel that Lambda's Python and architecture take, with the hash from the lock file.

    Raises
    ------
    LookupError
        The lock file has no wheel of the package for Lambda.
    """
    locked = next(each for each in _lock() if (each["name"], each["version"]) == (package.name, package.version))
    ranked = _lambda_tags()
    best: tuple[int, Wheel] | None = None
    for wheel in locked.get("wheels", []):
        tags = parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]
        rank = min((ranked[tag] for tag in tags if tag in ranked), default=None)
        if rank is not None and (best is None or rank < best[0]):
            best = rank, Wheel(wheel["url"], wheel["hash"].removeprefix("sha256:"))
    if best is None:
        raise LookupError(f"no wheel of {package.name} {package.version} for Python {PYTHON} on {PLATFORM}")
    return best[1]


@cache
def _lock() -> list[dict[str, Any]]:
    packages: list[dict[str, Any]] = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))["package"]
    return packages


@cache
def _lambda_tags() -> dict[Tag, int]:
    """Return the tags of wheels that fit Lambda, the best first."""
    version = tuple(map(int, PYTHON.split(".")))
    platforms = [f"manylinux_2_{minor}_{MACHINE}" for minor in range(28, 16, -1)] + [f"manylinux2014_{MACHINE}"]
    tags = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, f"cp{PYTHON}", platforms)]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}
