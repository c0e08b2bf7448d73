"""The commands of docs/runbook.md and docs/deploying.md, run by bash and the AWS CLI as an operator runs them."""

import os
import re
import subprocess
from pathlib import Path

from local.settings import SHARED
from tests.support.stack import Stack

ROOT = Path(__file__).parents[2]
CLI = SHARED / "awscli-env"
_COMMAND = re.compile(r"`((?:aws|logs|health|waiting|letter|python -m scripts)\b[^`]*)`")


def text(page: str = "runbook") -> str:
    """Return a page of the documentation."""
    return (ROOT / "docs" / f"{page}.md").read_text()


def functions() -> str:
    """Return the page's first block: the shell functions that its commands call."""
    return _blocks(text())[0]


def restore() -> str:
    """Return the block that restores a table."""
    return _blocks(text().partition("## Restoring tables")[2])[0]


def keys() -> list[str]:
    """Return the blocks of the deploy guide that give credentials, each with the function that they call."""
    output, *blocks = _blocks(text("deploying").partition("## Credentials")[2].partition("\nThen:")[0])
    return [f"{output}\n{block}" for block in blocks]


def commands() -> dict[str, list[str]]:
    """Return the commands of each alarm."""
    found = re.findall(r"^### (\w+)\n(.*?)(?=\n##|\Z)", text(), re.M | re.S)
    return {alarm: _COMMAND.findall(body) for alarm, body in found}


def install_cli() -> None:
    """Put the AWS CLI, as locked, into an environment of its own."""
    subprocess.run(
        ["uv", "sync", "--quiet", "--frozen", "--project", str(ROOT / "local" / "awscli")],
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(CLI)},
        check=True,
    )


def run(stack: Stack, script: str, **more: str) -> str:
    """Run a script behind the page's functions, on the local stack, and return what it printed.

    Raises
    ------
    AssertionError
        A command of it failed.
    """
    # On AWS the address of the API is an output; that of the local stack is in its env file.
    health = 'health() { curl -sSf "$API_URL/health"; }'
    # Not by PATH: its environment has a Python of its own. The endpoint: that of SQS is not taken from the environment.
    cli = f'aws() {{ {CLI / "bin" / "aws"} --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }}'
    environment = {**os.environ, **stack.values, **more, "AWS_PAGER": ""}
    done = subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{cli}\n{functions()}\n{health}\n{script}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _blocks(page: str) -> list[str]:
    """Return the indented blocks, without their indentation."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", page, re.M)
    return [re.sub(r"^    ", "", block, flags=re.M) for block in blocks if block.strip()]
