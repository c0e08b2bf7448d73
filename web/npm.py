"""Fetches packages of npm by their integrity hash, once: afterwards they are read from a folder, without a network."""

import base64
import hashlib
import json
import os
import tarfile
import urllib.request
from pathlib import Path

REGISTRY = "https://registry.npmjs.org"


def fetch(lock: Path, downloads: Path) -> tarfile.TarFile:
    """Return the package that a lock file names, opened.

    Parameters
    ----------
    lock
        JSON with ``package``, ``version`` and ``integrity`` (Subresource Integrity, SHA-512).
    downloads
        Folder of packages that were fetched before.
    """
    wanted = json.loads(lock.read_text("utf-8"))
    return fetch_package(wanted["package"], wanted["version"], wanted["integrity"], downloads)


def fetch_package(package: str, version: str, integrity: str, downloads: Path) -> tarfile.TarFile:
    """Return a package by its name, version and Subresource Integrity, opened.

    Raises
    ------
    SystemExit
        The registry has another one under this name and version.
    """
    name = package.rpartition("/")[2]
    file = downloads / f"{name}-{version}.tgz"
    if not file.exists() or _integrity(file) != integrity:
        registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
        _download(f"{registry}/{package}/-/{file.name}", file)
        if _integrity(file) != integrity:
            file.unlink()
            raise SystemExit(f"{file.name} of {registry} is not the {package} that is locked")
    return tarfile.open(file)


def read(package: tarfile.TarFile, name: str) -> bytes:
    """Return a file of a package.

    Raises
    ------
    SystemExit
        The package has none of this name.
    """
    try:
        stream = package.extractfile(name)
    except KeyError:
        stream = None
    if stream is None:
        raise SystemExit(f"no {name} in the package")
    return stream.read()


def _download(url: str, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")
    with urllib.request.urlopen(url, timeout=120) as answer, unfinished.open("wb") as target:  # noqa: S310
        while chunk := answer.read(1 << 20):
            target.write(chunk)
    unfinished.replace(file)


def _integrity(file: Path) -> str:
    with file.open("rb") as stream:
        return "sha512-" + base64.b64encode(hashlib.file_digest(stream, "sha512").digest()).decode()
