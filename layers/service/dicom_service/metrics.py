"""Metrics in CloudWatch's embedded metric format: a line of the log each, of which CloudWatch makes the metric.

No call, no permission, nothing to wait for. All carry the name of the stack as their dimension ``service``, so that two
stacks in one account do not ring each other's alarms. Names, units and who watches them: docs/runbook.md.
"""

NAMESPACE = "DicomService"


def count(name: str, value: float = 1) -> None:
    """Count something; nothing is written for zero."""
    if value:
        _write(name, "Count", value)


def seconds(name: str, value: float) -> None:
    """Record how long something took or how old it is."""
    _write(name, "Seconds", max(0.0, round(value, 3)))


def _write(name: str, unit: str, value: float) -> None:
    # Most requests write none: the import is not theirs to pay.
    from aws_lambda_powertools.metrics import MetricUnit, single_metric

    with single_metric(name=name, unit=MetricUnit(unit), value=value, namespace=NAMESPACE):
        pass
