"""What roles did on the local stack against what the template lets them do, both ways.

The local stack records each different action of a role on a resource (``RECORD_AWS_CALLS``, local/ministack_server.py).
A call without a grant is missing: the function fails with it on AWS. A grant without a call is unused: it goes, or has
a reason in the baseline.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from tests.support.transformed import resources, transformed

BASELINE = Path(__file__).parents[1] / "iam_calls" / "unused.yaml"
REPORT = BASELINE.with_name("report").with_suffix(".md")
STACK = "dicom-service"
# Operations that IAM knows under the name of another.
_SAME = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
# Conditions that hold on the stack of the tests, where a statement or its resource has an alternative.
_FIRST_BRANCH = {"CreatePacsSecret", "HasViewerSecret"}


@dataclass(frozen=True, order=True)
class Right:
    """An action on a resource of the template by a role; a call, or a grant (which may have ``*``)."""

    role: str
    action: str
    resource: str

    def covers(self, call: "Right") -> bool:
        """Return whether this grant is for that call."""
        return (
            self.role == call.role
            and fnmatchcase(call.action.lower(), self.action.lower())
            and fnmatchcase(call.resource, self.resource)
        )


def recorded(folder: Path) -> set[Right]:
    """Return the calls that local stacks wrote to a folder.

    Raises
    ------
    ValueError
        There are none: nothing was recorded.
    """
    lines = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    if not lines:
        raise ValueError(f"nothing was recorded in {folder}")
    names = {name.lower(): name for name in transformed()["Resources"]}
    calls = {
        Right(_logical(role, names), _SAME.get(action, action), _logical(arn, names)) for role, action, arn, _ in lines
    }
    return {call for call in calls if call.role in resources("AWS::IAM::Role")}


def _logical(name: str, names: Mapping[str, str]) -> str:
    """Return a physical name or an ARN as the template names it, with what follows the name."""
    if name.endswith(f":event-bus/{STACK}"):
        return "EventBus"
    found = re.search(rf"(?:^|[:/]){STACK}-(\w+)-[0-9A-Za-z]+(?:-[0-9A-Za-z]{{6}})?((?:/.*)?)$", name)
    return names.get(found[1].lower(), found[1]) + found[2] if found else name


def granted() -> set[Right]:
    """Return what the roles of functions may do, statement by statement."""
    found = set()
    for role, properties in resources("AWS::IAM::Role").items():
        if role.removesuffix("Role") + "Function" not in resources("AWS::Lambda::Function"):
            continue  # of a schedule: EventBridge calls the function with it
        for statement in _statements(properties):
            for action in _listed(statement["Action"]):
                found |= {Right(role, action, _named(resource)) for resource in _listed(statement["Resource"])}
    return found


def _statements(properties: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for policy in properties.get("Policies", []):
        for statement in _listed(policy["PolicyDocument"]["Statement"]):
            if "Fn::If" not in statement:
                yield statement
            elif statement["Fn::If"][0] in _FIRST_BRANCH:
                yield statement["Fn::If"][1]


def _named(resource: Any) -> str:
    if isinstance(resource, str):
        return resource
    ((kind, value),) = resource.items()
    if kind == "Fn::If":
        return _named(value[1] if value[0] in _FIRST_BRANCH else value[2])
    if kind == "Fn::GetAtt":
        return f"{value[0]}/stream" if value[1] == "StreamArn" else str(value[0])
    return re.sub(r"\$\{(\w+)\.Arn\}", r"\1", str(value))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Accepted:
    """Grants that are not used in tests, with the reason for having them."""

    action: str
    resource: str
    roles: tuple[str, ...]
    reason: str

    def covers(self, grant: Right) -> bool:
        """Return whether the reason is for this grant."""
        return (
            fnmatchcase(grant.action, self.action)
            and fnmatchcase(grant.resource, self.resource)
            and any(fnmatchcase(grant.role, role) for role in self.roles)
        )


def load_baseline() -> list[Accepted]:
    """Return the unused grants that stay.

    Raises
    ------
    ValueError
        One has no reason.
    """
    entries = [
        Accepted(action, entry["resource"], tuple(entry["roles"]), str(entry.get("reason", "")))
        for entry in yaml.safe_load(BASELINE.read_text())
        for action in entry["actions"]
    ]
    for entry in entries:
        if len(entry.reason) < 20:
            raise ValueError(f"{entry.action} on {entry.resource}: a reason")
    return entries


def missing(calls: Iterable[Right], grants: Iterable[Right]) -> list[Right]:
    """Return the calls that no grant covers."""
    grants = list(grants)
    return sorted(call for call in calls if not any(grant.covers(call) for grant in grants))


def unused(calls: Iterable[Right], grants: Iterable[Right]) -> list[Right]:
    """Return the grants that no call needed."""
    calls = list(calls)
    return sorted(grant for grant in grants if not any(grant.covers(call) for call in calls))


def used_before() -> set[Right]:
    """Return the rights that were used in the run that the report is of."""
    found, role = set(), ""
    for line in REPORT.read_text().splitlines():
        role = line[3:] + "Role" if line.startswith("## ") else role
        if row := re.fullmatch(r"\| `(.+)` \| `(.+)` \| used \|", line):
            found.add(Right(role, row[1], row[2]))
    return found


def reason(grant: Right, baseline: Iterable[Accepted]) -> str | None:
    """Return why an unused grant stays, None where nobody has said."""
    return next((entry.reason for entry in baseline if entry.covers(grant)), None)
