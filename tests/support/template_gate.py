"""Findings of checkov against the baseline, which has a reason for each that stays."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

BASELINE = Path(__file__).parents[1] / "template_gate" / "baseline.yaml"


@dataclass(frozen=True, order=True)
class Finding:
    """A check that a resource fails."""

    check: str
    resource: str
    name: str = ""


def read_report(report: Mapping[str, Any]) -> list[Finding]:
    """Return the findings of checkov's JSON report.

    Raises
    ------
    ValueError
        It has not looked at a template: nothing was found, and nothing passed either.
    """
    if not report["summary"]["passed"] or report["summary"]["parsing_errors"]:
        raise ValueError("checkov has not read the template")
    failed = report["results"]["failed_checks"]
    return sorted(
        Finding(entry["check_id"], entry["resource"].rpartition(".")[2], entry["check_name"]) for entry in failed
    )


def load_baseline() -> dict[str, dict[str, Any]]:
    """Return the accepted findings: by check, the resources and the reason.

    Raises
    ------
    ValueError
        An entry has no resources or no reason.
    """
    baseline: dict[str, dict[str, Any]] = yaml.safe_load(BASELINE.read_text())
    for check, entry in baseline.items():
        if not entry.get("resources") or len(str(entry.get("reason", ""))) < 20:
            raise ValueError(f"{check}: resources and a reason")
    return baseline


def new_findings(findings: Iterable[Finding], baseline: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Return the findings that the baseline does not accept."""
    return [entry for entry in findings if not _accepts(baseline.get(entry.check), entry.resource)]


def repaired(findings: Iterable[Finding], baseline: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the checks that the baseline accepts and nothing fails any more."""
    found = {entry.check for entry in findings}
    return [check for check in baseline if check not in found]


def _accepts(entry: Mapping[str, Any] | None, resource: str) -> bool:
    return entry is not None and bool({"*", resource} & set(entry["resources"]))
