"""The metrics that code wrote to its log, as CloudWatch would read them."""

import json
from collections import Counter

from dicom_service import metrics


def written(output: str) -> Counter[str]:
    """Return the sum of each metric in what was printed."""
    found: Counter[str] = Counter()
    for line in output.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        for directive in entry.get("_aws", {}).get("CloudWatchMetrics", []):
            assert directive["Namespace"] == metrics.NAMESPACE
            for metric in directive["Metrics"]:
                found[metric["Name"]] += sum(entry[metric["Name"]])
    return found
