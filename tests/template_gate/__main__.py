"""Transforms the template, lints the result for two regions, and compares checkov's findings with the baseline."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.template_gate import load_baseline, new_findings, read_report, repaired
from tests.support.transformed import transformed

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "build" / "template.json"
CHECKOV = ROOT / "local" / ".state" / "checkov-env" / "bin" / "checkov"
# One where AWS has everything first, and one that is not the default of any tool.
REGIONS = ("us-east-1", "eu-central-1")


def main() -> int:
    """Return 1 where there is an error, a warning, or a finding without a reason."""
    TEMPLATE.parent.mkdir(exist_ok=True)
    TEMPLATE.write_text(json.dumps(transformed(), indent=1))
    lint = subprocess.run(["cfn-lint", "--template", str(TEMPLATE), "--regions", *REGIONS], check=False).returncode
    command = [str(CHECKOV), "--file", str(TEMPLATE), "--framework", "cloudformation", "--output", "json"]
    done = subprocess.run(
        [*command, "--quiet", "--compact", "--skip-download"], stdout=subprocess.PIPE, text=True, check=False
    )
    findings, baseline = read_report(json.loads(done.stdout)), load_baseline()
    new = new_findings(findings, baseline)
    for finding in new:
        print(f"{finding.check} {finding.resource}: {finding.name}")
    for check in repaired(findings, baseline):
        print(f"{check} is repaired: take it out of {Path('tests/template_gate/baseline.yaml')}")
    known = len(findings) - len(new)
    print(f"template gate: {len(transformed()['Resources'])} resources, {known} findings with a reason, {len(new)} new")
    return 1 if lint or new else 0


if __name__ == "__main__":
    sys.exit(main())
