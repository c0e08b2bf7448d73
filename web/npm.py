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
    name = wanted["package"].rpartition("/")[2]
    file = downloads / f"{name}-{wanted['version']}.tgz"
    if not file.exists() or _integrity(file) != wanted["integrity"]:
        registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
        _download(f"{registry}/{wanted['package']}/-/{file.name}", file)
        if _integrity(file) != wanted["integrity"]:
            file.unlink()
            raise SystemExit(f"{file.name} of {registry} is not what {lock.name} names")
    return tarfile.open(file)


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
