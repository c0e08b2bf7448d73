"""What breaks first as exams come faster: the counted requests of an exam against the limits in `limits.json`.

A model, not a measurement: no machine here takes 1,000 exams a minute. It says which limit is met first and how long
files wait, if each limit holds as AWS documents it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CONCURRENCY = (2, 10, 50)
EXAMS_A_MINUTE = (1, 100, 1000)
# Exams come at an even rate for so long; then the backlog is looked at.
_SECONDS = 600


@dataclass(frozen=True)
class Load:
    """What a rate of exams does to the service at one `IngestConcurrency`.

    Parameters
    ----------
    used
        Share of each limit that is asked for, by its name; above 1 it is exceeded.
    backlog_minutes
        How long the last file waits after ten minutes at this rate.
    """

    used: Mapping[str, float]
    backlog_minutes: float

    @property
    def first(self) -> str:
        """The limit that is met first."""
        return max(self.used, key=lambda name: self.used[name])


def load_limits() -> dict[str, Any]:
    """Return the limits with their date."""
    limits: dict[str, Any] = json.loads(Path(__file__).with_name("limits.json").read_text())
    return limits


def simulate(
    exams_a_minute: float, concurrency: int, files: int, counted: Mapping[str, int], limits: Mapping[str, Any]
) -> Load:
    """Return the load of exams of so many files, each counted as `counted`.

    Second by second: files arrive, the ingest takes what its invocations and the PACS can, the rest stays queued.
    """
    arriving = exams_a_minute * files / 60
    ingest = concurrency * limits["files a second of one ingest invocation"]
    capacity = min(ingest, limits["files a second that the PACS takes"])
    queued = 0.0
    for _ in range(_SECONDS):
        queued = max(0.0, queued + arriving - capacity)
    taken = min(arriving, capacity)
    writes = counted["DynamoDB WRU"] / files * taken * limits["share of the writes on the busiest table"]
    used = {
        "IngestConcurrency": arriving / ingest,
        "the PACS": arriving / limits["files a second that the PACS takes"],
        "S3 PUTs below one prefix": arriving / limits["S3 PUTs a second below one prefix"],
        "EventBridge deliveries": arriving / limits["EventBridge deliveries a second"],
        "SQS in flight": taken * limits["seconds that a message is in flight"] / limits["SQS messages in flight"],
        "writes of a new table": writes / limits["WRU a second of a new table"],
        "Lambda invocations": concurrency / limits["Lambda invocations at once"],
    }
    return Load(used, queued / capacity / 60)


def report(files: int, counted: Mapping[str, int]) -> str:
    """Return the table of all rates and concurrencies."""
    limits = load_limits()
    lines = [
        "| exams a minute | IngestConcurrency | connections to the PACS | met first | its use | wait after 10 min |"
    ]
    lines.append("|--:|--:|--:|---|--:|--:|")
    for rate in EXAMS_A_MINUTE:
        for concurrency in CONCURRENCY:
            load = simulate(rate, concurrency, files, counted, limits)
            connections = concurrency * limits["connections of one ingest invocation"]
            use = f"{load.used[load.first]:.0%}"
            lines.append(
                f"| {rate:,} | {concurrency} | {connections} | {load.first} | {use} | {load.backlog_minutes:.0f} min |"
            )
    return "\n".join(lines)
