"""Turns counted units into money, by the list of prices and the assumptions in `prices.json`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.cost.flows import Flow

_COUNTED = ("S3 PUT", "S3 GET", "DynamoDB WRU", "DynamoDB RRU", "SQS", "EventBridge")
# The audit's record of a request is in two indexes too.
WRITES_OF_A_RECORD = 3
# Columns of the table, and which units each adds up.
SERVICES = {
    "S3 requests": ("S3 PUT", "S3 GET"),
    "DynamoDB writes": ("DynamoDB WRU",),
    "DynamoDB reads": ("DynamoDB RRU",),
    "SQS": ("SQS",),
    "Lambda": ("Lambda requests", "Lambda GB-s"),
    "API Gateway": ("API Gateway",),
    "EventBridge": ("EventBridge",),
    "Logs and traces": ("logs", "X-Ray traces"),
}


def load_prices() -> dict[str, Any]:
    """Return the list of prices with its date."""
    prices: dict[str, Any] = json.loads(Path(__file__).with_name("prices.json").read_text())
    return prices


def units(flow: Flow, counted: Mapping[str, int], prices: Mapping[str, Any]) -> dict[str, float]:
    """Return everything that one exam is billed for, counted and assumed."""
    assumed = prices["assumed"]
    polls = 0 if flow.dropped or flow.direct else assumed["status polls of a client"]
    calls = counted["API calls"] + polls
    # Before each call the authorizer is called, which needs no call of the gateway.
    others = counted["invocations"] + 2 * calls
    each = assumed["GB-s of ingest for an entry of a ZIP" if flow.zipped else "GB-s of ingest for a file"]
    large = assumed["GB-s of ingest for a MB of a large file"] * flow.megabytes if flow.instances == 1 else 0
    return {
        **{name: counted[name] for name in _COUNTED},
        "DynamoDB WRU": counted["DynamoDB WRU"] + WRITES_OF_A_RECORD * calls,
        "Lambda requests": others,
        "Lambda GB-s": each * flow.instances + large + assumed["GB-s of any other invocation"] * others,
        "API Gateway": calls,
        "X-Ray traces": others * assumed["share of invocations traced"],
        "logs": others * assumed["kB of logs for an invocation"] / 1e6,
    }


def bill(flow: Flow, counted: Mapping[str, int], prices: Mapping[str, Any]) -> dict[str, float]:
    """Return the USD for one million exams, by service."""
    return in_usd(units(flow, counted, prices), prices)


def in_usd(used: Mapping[str, float], prices: Mapping[str, Any]) -> dict[str, float]:
    """Return the USD for a million times these units, by service."""
    per_million, per_gb = prices["per million"], prices["per GB"]

    def usd(name: str) -> float:
        # A million exams times a price for a million units; a price for a GB times a million.
        price: float = per_million[name] if name in per_million else per_gb[name] * 1e6
        return used[name] * price

    return {service: sum(map(usd, names)) for service, names in SERVICES.items()}
