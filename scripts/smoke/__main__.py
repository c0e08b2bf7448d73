"""Runs the checks of a deployment and prints a report to paste into an issue.

::

    make smoke STACK=dicom-service API_URL=https://… SERVICE_KEY=dsk_…

Takes less than ten minutes and costs less than a dollar. It stores made-up exams of the patient `SMOKE` in the PACS,
which DICOMweb cannot delete again. AWS credentials and region come from the environment. The report names no key.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import boto3
import requests

from scripts.smoke.checks import CHECKS, Check
from scripts.smoke.deployment import Deployment, Failed, Impossible


@dataclass(frozen=True)
class Result:
    """What came of one check: ``passed``, ``FAILED``, or ``not here`` with the reason."""

    name: str
    state: str
    line: str


def run(deployment: Deployment, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """Make all checks, one after the other; one that fails stops no other."""
    return [_run_one(check, deployment) for check in checks]


def _run_one(check: Check, deployment: Deployment) -> Result:
    name = check.__name__.replace("_", " ")
    try:
        return Result(name, "passed", check(deployment))
    except Impossible as reason:
        return Result(name, "not here", str(reason))
    except Failed as failure:
        return Result(name, "FAILED", str(failure))
    except (requests.RequestException, KeyError, ValueError) as error:
        # An answer of another shape than the contract's; what it says may be long.
        return Result(name, "FAILED", f"{type(error).__name__}: {str(error)[:200]}")


def report(results: Sequence[Result]) -> str:
    """Lay the results out as a table in Markdown."""
    lines = ["| | check | | |", "|--:|---|---|---|"]
    lines += [f"| {number} | {r.name} | {r.state} | {r.line} |" for number, r in enumerate(results, start=1)]
    states = [result.state for result in results]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("passed", "FAILED", "not here"))
    return "\n".join([*lines, "", f"{counts}; Python {platform.python_version()}, boto3 {boto3.__version__}"])


def main() -> int:
    """Return 1 where a check fails."""
    parser = argparse.ArgumentParser(prog="python -m scripts.smoke", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stack", default="dicom-service")
    parser.add_argument("--api-url", default=os.environ.get("API_URL"))
    parser.add_argument("--key", default=os.environ.get("SERVICE_KEY"))
    parser.add_argument("--custom-url", help="the API's own name, with its base path")
    parser.add_argument("--webhook-url", help="one of CallbackUrls, which leads to this machine")
    parser.add_argument("--webhook-port", type=int, default=8080, help="the port that it leads to")
    parser.add_argument("--alarm", action="store_true", help="wait for an alarm, for up to 20 minutes")
    given = parser.parse_args()
    if not given.api_url or not given.key:
        parser.error("--api-url and --key, or API_URL and SERVICE_KEY, say what to try")
    is_local = bool(os.environ.get("AWS_ENDPOINT_URL"))
    deployment = Deployment(
        *(given.stack, given.api_url.rstrip("/"), given.key, given.custom_url, is_local),
        webhook_url=given.webhook_url,
        webhook_port=given.webhook_port,
        alarm=given.alarm,
    )
    started = time.monotonic()
    results = run(deployment)
    print(report(results))
    print(f"{time.monotonic() - started:.0f} s")
    return 1 if any(result.state == "FAILED" for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
