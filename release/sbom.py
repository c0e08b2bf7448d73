"""The software bill of materials: what the layers ship, as CycloneDX.

`make sbom` writes build/sbom.cdx.json. Versions and hashes are those of the lock file, for Lambda's wheels; licences
are those of THIRD_PARTY_LICENSES.txt.
"""

import base64
import json
import sys
import tomllib
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from release.licences import FILE, licence_symbols, read_index, read_natives
from release.shipped import LAYERS, PLATFORM, PYTHON, ROOT, Package, shipped_packages, wheel_of

SCHEMA = SchemaVersion.V1_6


def make_bom() -> Bom:
    """Return the bill of materials of the layers.

    Raises
    ------
    KeyError
        THIRD_PARTY_LICENSES.txt does not list what is locked.
    """
    text = FILE.read_text("utf-8")
    licences, natives = read_index(text), read_natives(text)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    bom = Bom()
    own = [_licence("Apache-2.0")]
    service = Component(name="dicom-service", version=version, type=ComponentType.APPLICATION, licenses=own)
    bom.metadata.component = service
    layers = {name: _layer(name, version) for name in LAYERS}
    for package in shipped_packages():
        inside = [(library, licence) for library, owner, licence in natives if owner == package.name]
        component = _package(package, licences[package], inside)
        bom.components.add(component)
        bom.register_dependency(layers[package.layer], [component])
    for_pages = [_for_pages(lock) for lock in sorted((ROOT / "web").glob("*/*.json"))]
    bom.components.update(for_pages)
    layers["pages"] = _layer("pages", version)
    bom.register_dependency(layers["pages"], for_pages)
    bom.components.update(layers.values())
    bom.register_dependency(service, layers.values())
    return bom


def _layer(name: str, version: str) -> Component:
    return Component(
        name=f"{name}-layer",
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=f"layer:{name}",
        licenses=[_licence("Apache-2.0")],
        properties=[Property(name="python", value=PYTHON), Property(name="platform", value=PLATFORM)],
    )


def _package(package: Package, licence: str, natives: list[tuple[str, str]]) -> Component:
    wheel = wheel_of(package)
    digest = HashType(alg=HashAlgorithm.SHA_256, content=wheel.sha256)
    purl = PackageURL("pypi", name=package.name, version=package.version)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        hashes=[digest],
        licenses=[_licence(licence)],
        external_references=[
            ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(wheel.url), hashes=[digest])
        ],
        components=[_library(purl, library, terms) for library, terms in natives],
    )


def _for_pages(lock_file: Path) -> Component:
    """Return a package of npm that is in the layer of the pages (web/npm.py)."""
    lock = json.loads(lock_file.read_text("utf-8"))
    namespace, _, name = lock["package"].rpartition("/")
    purl = PackageURL("npm", namespace=namespace or None, name=name, version=lock["version"])
    digest = base64.b64decode(lock["integrity"].removeprefix("sha512-")).hex()
    return Component(
        name=lock["package"],
        version=lock["version"],
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        hashes=[HashType(alg=HashAlgorithm.SHA_512, content=digest)],
        licenses=[_licence(lock["licence"])],
    )


def _library(package: PackageURL, name: str, licence: str) -> Component:
    return Component(
        name=f"lib{name}",
        type=ComponentType.LIBRARY,
        bom_ref=f"{package}#lib{name}",
        licenses=[_licence(licence)],
    )


def _licence(expression: str) -> License:
    single = licence_symbols(expression) == [expression] and " WITH " not in expression
    return DisjunctiveLicense(id=expression) if single else LicenseExpression(expression)


def to_json(bom: Bom) -> str:
    """Return the bill as JSON that holds to the schema.

    Raises
    ------
    ValueError
        It does not; the library says where.
    """
    text = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2)
    if (error := JsonStrictValidator(SCHEMA).validate_str(text)) is not None:
        raise ValueError(f"not CycloneDX {SCHEMA.to_version()}: {error}")
    return text


def main(arguments: list[str]) -> int:
    """Write the bill to a file."""
    path = Path(arguments[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(make_bom()) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
