"""A real issuer for tests: oidc-provider of npm, by the hashes of its lock file, in the Node that Playwright brings."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from playwright._impl._driver import compute_driver_executable

from local.processes import free_ports
from local.settings import SHARED
from tests.support.waiting import wait_for
from web.npm import fetch_package

HERE = Path(__file__).with_name("oidc_provider")


def install(folder: Path) -> None:
    """Put the packages of the lock file where Node finds them."""
    packages = json.loads((HERE / "package-lock.json").read_text("utf-8"))["packages"]
    for place, wanted in packages.items():
        if not place:
            continue
        target = folder / place
        target.mkdir(parents=True)
        name = place.rpartition("node_modules/")[2]
        with fetch_package(name, wanted["version"], wanted["integrity"], SHARED / "downloads") as package:
            for member in package:
                # Some packages lie in a folder of another name than `package`.
                member.name = member.name.partition("/")[2]
                if member.isfile() and member.name:
                    package.extract(member, target)
    (folder / "provider.mjs").write_bytes((HERE / "provider.mjs").read_bytes())


@contextmanager
def oidc_issuer(redirect: str, lifetimes: Sequence[int]) -> Iterator[str]:
    """Run the issuer; give its URL.

    Parameters
    ----------
    redirect
        Where it may lead back to.
    lifetimes
        Seconds that its tokens live, one after the other; the last for all others.
    """
    with tempfile.TemporaryDirectory(prefix="oidc-provider-") as name:
        folder = Path(name)
        install(folder)
        (port,) = free_ports(1)
        issuer = f"http://127.0.0.1:{port}"
        asked = {"issuer": issuer, "redirect": redirect, "port": port, "lifetimes": list(lifetimes)}
        command = [compute_driver_executable()[0], "provider.mjs", json.dumps(asked)]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=sys.stderr)
        try:
            wait_for(lambda: _answers(issuer), 60)
            yield issuer
        finally:
            process.terminate()
            process.wait(30)


def _answers(issuer: str) -> bool:
    try:
        return requests.get(f"{issuer}/.well-known/openid-configuration", timeout=5).ok
    except requests.ConnectionError:
        return False
