"""Metrics in CloudWatch's embedded metric format: a line of the log each, of which CloudWatch makes the metric.

No call, no permission, nothing to wait for. All carry the name of the stack as their dimension ``service``, so that two
stacks in one account do not ring each other's alarms. Names, units and who watches them: docs/runbook.md.
"""

import json
from contextlib import AbstractContextManager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

NAMESPACE = "DicomService"


def count(name: str, value: float = 1) -> None:
    """Count something; nothing is written for zero."""
    if value:
        _write(name, "Count", value)


def seconds(name: str, value: float) -> None:
    """Record how long something took or how old it is."""
    _write(name, "Seconds", max(0.0, round(value, 3)))


class failures(AbstractContextManager["failures"]):
    """Count an error that leaves the block, unless it is of a kind that is no failure.

    Parameters
    ----------
    name
        The metric.
    but
        The kind that is not counted.
    """

    def __init__(self, name: str, *, but: type[BaseException]) -> None:
        self._name = name
        self._but = but

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Count it, and let it go on."""
        if kind is not None and not issubclass(kind, self._but):
            count(self._name)


def _write(name: str, unit: str, value: float) -> None:
    # The dimensions are those of the provider, which holds nothing else: threads may share it.
    line = _provider().serialize_metric_set({name: {"Unit": unit, "Value": [float(value)]}})
    print(json.dumps(line, separators=(",", ":")))


@cache
def _provider() -> "AmazonCloudWatchEMFProvider":
    # Most requests write none: the import is not theirs to pay.
    from aws_lambda_powertools.metrics.provider.cloudwatch_emf.cloudwatch import AmazonCloudWatchEMFProvider

    return AmazonCloudWatchEMFProvider(namespace=NAMESPACE)
