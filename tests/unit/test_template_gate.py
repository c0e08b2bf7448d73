"""Findings of checkov: those without a reason fail, and a report of nothing is no good report."""

from typing import Any

import pytest

from tests.support.template_gate import Finding, load_baseline, new_findings, read_report, repaired
from tests.support.transformed import transformed

BASELINE = {"CKV_1": {"resources": ["*"]}, "CKV_2": {"resources": ["Cache"]}, "CKV_3": {"resources": ["Api"]}}


def report(*failed: tuple[str, str], passed: int = 10, errors: int = 0) -> dict[str, Any]:
    entries = [{"check_id": check, "resource": f"AWS::X.{name}", "check_name": "why"} for check, name in failed]
    return {"summary": {"passed": passed, "parsing_errors": errors}, "results": {"failed_checks": entries}}


def test_a_finding_without_a_reason_is_new() -> None:
    findings = read_report(report(("CKV_1", "Any"), ("CKV_2", "Cache"), ("CKV_2", "Staging"), ("CKV_9", "Any")))
    new = new_findings(findings, BASELINE)
    assert new == [Finding("CKV_2", "Staging", "why"), Finding("CKV_9", "Any", "why")]
    assert repaired(findings, BASELINE) == ["CKV_3"]


@pytest.mark.parametrize("wrong", [{"passed": 0}, {"errors": 1}])
def test_a_report_of_a_template_that_was_not_read_is_no_report(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="not read"):
        read_report(report(**wrong))


def test_the_baseline_has_a_reason_for_each_and_names_resources_that_exist() -> None:
    baseline = load_baseline()
    named = {name for entry in baseline.values() for name in entry["resources"]} - {"*"}
    assert len(baseline) >= 5
    assert len(named) >= 3
    assert named <= set(transformed()["Resources"])
