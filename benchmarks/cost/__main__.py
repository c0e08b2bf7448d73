"""`make cost`: prints what one million exams cost, by flow and service, and fails where an aim is missed."""

import sys
from collections.abc import Iterable, Mapping

from benchmarks.cost.flows import FLOWS, count
from benchmarks.cost.load import report
from benchmarks.cost.prices import SERVICES, bill, load_prices, units

# USD for a million exams.
AIMS = {"CT 300 × 0.5 MB, one ZIP": 1200}
_SHOWN = ("S3 PUT", "S3 GET", "DynamoDB WRU", "DynamoDB RRU", "SQS", "Lambda requests", "API Gateway")


def main() -> int:
    """Print both tables."""
    prices = load_prices()
    counts = {flow.name: count(flow) for flow in FLOWS}
    used = {flow.name: units(flow, counts[flow.name], prices) for flow in FLOWS}
    bills = {flow.name: bill(flow, counts[flow.name], prices) for flow in FLOWS}
    print("Billed for one exam\n")
    print(_table(used, _SHOWN, "{:,.0f}"))
    print(f"\nUSD for 1,000,000 exams ({prices['region']}, {prices['date']})\n")
    print(_table({name: {**lines, "sum": sum(lines.values())} for name, lines in bills.items()}, [*SERVICES, "sum"]))
    print("\nExams of 300 files by forms, simulated (benchmarks/cost/limits.json)\n")
    print(report(300, counts[FLOWS[0].name]))
    missed = {name: aim for name, aim in AIMS.items() if sum(bills[name].values()) > aim}
    for name, aim in missed.items():
        print(f"\nMISSED: {name} was to cost at most {aim} USD")
    return 1 if missed else 0


def _table(columns: Mapping[str, Mapping[str, float]], names: Iterable[str], form: str = "{:,.0f}") -> str:
    lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
    for name in names:
        lines.append(f"| {name} | {' | '.join(form.format(values[name]) for values in columns.values())} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
