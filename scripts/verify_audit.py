"""Checks the exported days of the audit, and the table against them (docs/audit.md).

::

    python -m scripts.verify_audit
    python -m scripts.verify_audit --since 2026-01-01 --known HASH

Finds records that were changed, removed, added or put in another order since their day was exported. Prints the last
hash: keep it where nobody can change it, and give it as ``--known`` later, when it must still be in the chain. Uses the
AWS credentials and the region of the environment; ``--stack`` names the CloudFormation stack.
"""

import argparse
import datetime
import sys
import time
from collections.abc import Iterator, Sequence

import boto3

from dicom_service.audit.chain import BEGINNING, Finding, compare, days_between
from dicom_service.audit.export import Archive
from dicom_service.audit.store import BY_DAY, AuditReader, AuditTable
from dicom_service.errors import ServiceError


class Verification:
    """One check of all days; `findings` yields what is wrong, `end` and `records` are known after it."""

    def __init__(self, reader: AuditReader, archive: Archive, *, since: str, today: datetime.date) -> None:
        self._reader = reader
        self._archive = archive
        self._since = since
        self._today = today
        self.end = BEGINNING
        self.ends: set[str] = set()
        self.records = 0

    def findings(self, now: float) -> Iterator[Finding]:
        """Yield what is not as it was written, day by day."""
        days = self._archive.days()
        if not days:
            return
        # The export of yesterday may still be under way.
        for day in days_between(days[0], max(days[-1], (self._today - datetime.timedelta(days=2)).isoformat())):
            if day not in days:
                yield Finding("missing", day, "the day")
                continue
            found = self._archive.read(day, self.end)
            self.end = found.end
            self.ends.add(found.end)
            self.records += len(found.records)
            yield from found.findings
            if day >= self._since:
                yield from compare(found, self._reader.find(BY_DAY, day), now)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found; return 0 when all is as it was written, 1 when not, 2 when it could not be checked."""
    parser = argparse.ArgumentParser(
        prog="verify_audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stack", default="dicom-service")
    parser.add_argument("--since", default="", help="compare the table from this day on, YYYY-MM-DD; else all days")
    parser.add_argument("--known", help="a last hash that was printed before")
    given = parser.parse_args(arguments)
    found = boto3.client("cloudformation").describe_stacks(StackName=given.stack)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}
    if "AuditBucket" not in outputs:
        print("nothing is exported: AuditExport is none", file=sys.stderr)
        return 2
    reader, archive = AuditReader(AuditTable(outputs["AuditTable"])), Archive(outputs["AuditBucket"])
    check = Verification(reader, archive, since=given.since, today=datetime.datetime.now(datetime.UTC).date())
    try:
        findings = list(check.findings(time.time()))
    except ServiceError as error:
        print(f"not checked: {error.detail}", file=sys.stderr)
        return 2
    if given.known and given.known not in check.ends:
        findings.append(Finding("changed", "the chain", "which no longer has the known hash"))
    for finding in findings:
        print(finding)
    print(f"{len(check.ends)} days, {check.records} records, {len(findings)} findings; last hash {check.end}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
