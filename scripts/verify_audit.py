"""Checks the exported days of the audit, and the table against them (docs/audit.md).

::

    python -m scripts.verify_audit
    python -m scripts.verify_audit --since 2026-01-01 --known HASH

Finds records that were changed, removed, added or put in another order since their day was exported. Prints the last
hash: keep it where nobody can change it, and give it as ``--known`` later, when it must still be in the chain. Once the
first days have expired, the chain begins with the hash of a day that is gone, which is printed. Uses the AWS
credentials and the region of the environment; ``--stack`` names the CloudFormation stack.
"""

import argparse
import datetime
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import boto3

from dicom_service.audit.chain import BEGINNING, Finding, compare, days_between
from dicom_service.audit.export import FIRST_DAYS, ExportedDays
from dicom_service.audit.store import BY_DAY, AuditReader, AuditTable
from dicom_service.errors import ServiceError

# A day expires at midnight some time after its retention, and the days before the first are gone by then.
_MARGIN = datetime.timedelta(days=3)
# The export of yesterday may still be under way.
_EXPORTED = datetime.timedelta(days=2)


@dataclass(frozen=True)
class Scope:
    """What is checked.

    Parameters
    ----------
    today
        The day of the check.
    retention_days
        Days for which exported days are kept (AuditRetentionDays).
    since
        Compare the table from this day on.
    known
        A last hash that was printed before; empty for none.
    """

    today: datetime.date
    retention_days: int = 3653
    since: str = ""
    known: str = ""


class Verification:
    """One check of all days; `findings` yields what is wrong, the other attributes are known after it.

    Attributes
    ----------
    start, end
        The hash that the first day follows, and the last one.
    days, records
        How many there are.
    """

    def __init__(self, reader: AuditReader, exported: ExportedDays, scope: Scope) -> None:
        self._reader = reader
        self._exported = exported
        self._scope = scope
        self.start = self.end = BEGINNING
        self.days = 0
        self.ends: set[str] = set()
        self.records = 0

    def findings(self, now: float) -> Iterator[Finding]:
        """Yield what is not as it was written, day by day."""
        days, ended = self._exported.days(), self._scope.today - _EXPORTED
        self.days = len(days)
        if days:
            self.start = self.end = self._start(days[0])
            self.ends.add(self.start)
        else:
            yield from self._not_exported(ended)
        for day in days_between(days[0], max(days[-1], ended.isoformat())) if days else ():
            if day not in days:
                yield Finding("missing", day, "the day")
                continue
            found = self._exported.read(day, self.end)
            self.end = found.end
            self.ends.add(found.end)
            self.records += len(found.records)
            yield from found.findings
            if day >= self._scope.since:
                yield from compare(found, self._reader.find(BY_DAY, day), now)
        if self._scope.known and self._scope.known not in self.ends:
            yield Finding("changed", "the chain", "which no longer has the known hash")

    def _start(self, first: str) -> str:
        """Return the hash that the first day may follow: of a day that has expired, or that is known; else none."""
        said = self._exported.start_of(first)
        oldest = self._scope.today - datetime.timedelta(days=self._scope.retention_days) + _MARGIN
        return said if first <= oldest.isoformat() or said == self._scope.known else BEGINNING

    def _not_exported(self, ended: datetime.date) -> Iterator[Finding]:
        for number in range(FIRST_DAYS):
            day = (ended - datetime.timedelta(days=number)).isoformat()
            if next(self._reader.find(BY_DAY, day), None):
                yield Finding("missing", day, "the day, and all others")
                return


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
    reader, exported = AuditReader(AuditTable(outputs["AuditTable"])), ExportedDays(outputs["AuditBucket"])
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in found.get("Parameters", [])}
    retention = int(parameters.get("AuditRetentionDays", Scope.retention_days))
    today = datetime.datetime.now(datetime.UTC).date()
    check = Verification(reader, exported, Scope(today, retention, given.since, given.known or ""))
    try:
        findings = list(check.findings(time.time()))
    except ServiceError as error:
        print(f"not checked: {error.detail}", file=sys.stderr)
        return 2
    for finding in findings:
        print(finding)
    if not check.days and not findings:
        print("not checked: no day has been exported yet", file=sys.stderr)
        return 2
    if check.start != BEGINNING:
        print(f"the days before have expired; the first follows {check.start}")
    print(f"{check.days} days, {check.records} records, {len(findings)} findings; last hash {check.end}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
