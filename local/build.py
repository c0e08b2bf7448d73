"""Runs `sam build` for this machine, again only when its input has changed."""

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from local.settings import ROOT, SHARED, LocalStackError, say

# The functions run on MiniStack's interpreter, which is the one of this environment.
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
MACHINE = "aarch64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
LAMBDA_ARCHITECTURE = {"aarch64": "arm64", "x86_64": "x86_64"}[MACHINE]

_INPUTS = ("template.yaml", "uv.lock", "functions", "layers", "web")
_KEPT = 3


def build_key() -> str:
    """Hash all input of the build."""
    digest = hashlib.sha256(f"{PYTHON_VERSION} {MACHINE}".encode())
    for path in _inputs():
        digest.update(f"{path.relative_to(ROOT)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def ensure_build() -> tuple[str, Path]:
    """Build unless this input is built already; return its key and the built template."""
    SHARED.mkdir(parents=True, exist_ok=True)
    builds = SHARED / "builds"
    with (SHARED / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make up` and `make test` may run side by side
        key = build_key()
        target = builds / key
        if not (target / "template.yaml").exists():
            say(f"Building layers and functions for Python {PYTHON_VERSION} on {MACHINE}")
            _sam_build(target)
            _forget_old(builds, target)
        os.utime(target)
    return key, target / "template.yaml"


def tool_environment() -> dict[str, str]:
    """The environment of the SAM CLI and of the layers' Makefiles."""
    tools = [str(Path(sys.executable).parent), str(SHARED / "tools" / "bin"), os.environ.get("PATH", os.defpath)]
    return {
        **os.environ,
        "PATH": os.pathsep.join(tools),
        "SAM_CLI_TELEMETRY": "0",
        "LAYER_PYTHON": PYTHON_VERSION,
        "LAYER_PLATFORM": f"{MACHINE}-manylinux_2_28",
    }


def sam(*arguments: str, environment: dict[str, str]) -> None:
    """Run the SAM CLI.

    Raises
    ------
    LocalStackError
        It failed; the message carries what it said.
    """
    program = str(Path(sys.executable).parent / "sam")
    done = subprocess.run(
        [program, *arguments], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise LocalStackError(f"sam {arguments[0]} failed:\n{done.stdout[-6000:]}")


def _sam_build(target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    cache = SHARED / "sam-cache" / f"{PYTHON_VERSION}-{MACHINE}"
    cache.mkdir(parents=True, exist_ok=True)
    sam(
        *("build", "--cached", "--parallel", "--cache-dir", str(cache)),
        *("--template-file", str(ROOT / "template.yaml"), "--build-dir", str(target)),
        environment=tool_environment(),
    )


def _inputs() -> Iterator[Path]:
    for name in _INPUTS:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and not {"__pycache__", ".venv"} & set(file.parts))


def _forget_old(builds: Path, keep: Path) -> None:
    by_age = sorted((path for path in builds.iterdir() if path != keep), key=lambda path: path.stat().st_mtime)
    for path in by_age[: -(_KEPT - 1)]:
        shutil.rmtree(path)
