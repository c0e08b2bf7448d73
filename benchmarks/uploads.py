"""200 staged files to the PACS, against other senders.

Every side starts from the same objects in S3 and a PACS without them, and ends when the PACS has all of them, which is
looked up after the clock has stopped; each round has new instances, and those of the round before are deleted.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import senders
from benchmarks.files import template
from benchmarks.invocations import invocations
from benchmarks.senders import Sender
from benchmarks.servers import Servers, running
from benchmarks.staging import Staged, check_ingested, make_stores, staged_files
from benchmarks.table import Pairs, Row, seconds

SLICES = 200
ROUNDS = 5
# The same side takes 1.3 to 1.7 s from one round to another.
FAST_ROUNDS = 11
SLOW_ROUNDS = 2
SIDE = 512  # 512 × 512 × 2 bytes: half a megabyte
OURS = "ingest_exam"
# What is promised of an upload and needs no code of ours (docs/decisions/0016). Ours has four connections in each of
# two invocations, so eight are tried too.
_PROMISED = "requests, 20 a request on {} connections, with search, claims, registry, results, removal"
LIMITS = {_PROMISED.format(number): senders.promised(20, number) for number in (4, 8)}
NAME = f"{OURS}, {SLICES} CT slices of 0.5 MB in two invocations at once"


def _nothing(servers: Servers, staged: Sequence[Staged]) -> None:
    """Leave it at what the PACS has."""


@dataclass(frozen=True)
class Side:
    """One that is timed.

    Parameters
    ----------
    send
        Brings what is staged to the PACS.
    stage
        Stages the objects of one round.
    check
        Looks up, after the clock has stopped, what else must be there.
    """

    send: Sender
    stage: Callable[[], list[Staged]]
    check: Callable[[Servers, Sequence[Staged]], None] = _nothing


def ours(stage: Callable[[], list[Staged]], send: Sender = senders.ours) -> Side:
    """Return the side of this service."""
    return Side(send, stage, check_ingested)


def measure() -> Iterator[Row]:
    with running() as servers:
        make_stores()
        senders.let_storescu_in(servers)
        with invocations() as send:
            yield from _fast_rivals(servers, send)
            yield from _slow_rivals(servers, send)


def rounds_of(
    servers: Servers, sides: Mapping[str, Side], rounds: int = ROUNDS, *, warm_up: int = 1
) -> dict[str, tuple[float, ...]]:
    """Time each side on objects of its own, A B C … then … C B A, so that a slow moment of the machine falls on all.

    The rounds of the warm-up are not counted. After each side, what it was to store is compared with what the PACS has;
    ours also with registry, upload and bucket. Then it is deleted.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(-warm_up, rounds):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            side = sides[name]
            staged = side.stage()
            taken = seconds(lambda side=side, staged=staged: side.send(servers, staged))  # type: ignore[misc]
            side.check(servers, staged)
            files = [file for upload in staged for file in upload.files]
            servers.check_stored(files)
            servers.forget(files)
            for upload in staged:
                upload.clear()
            if turn >= 0:
                times[name].append(taken)
            print(f"  round {turn + 1} of {rounds}: {name} {taken:.1f} s", file=sys.stderr, flush=True)
    return {name: tuple(values) for name, values in times.items()}


def best_of(times: Mapping[str, Sequence[float]], names: Sequence[str]) -> str:
    """Return the side with the smallest median."""
    return min(names, key=lambda name: statistics.median(times[name]))


def _fast_rivals(servers: Servers, send: Sender) -> Iterator[Row]:
    plain = {
        "requests, one by one on 4 connections": senders.plain(1, 4),
        "requests, 20 a request on 4 connections": senders.plain(20, 4),
        "requests, 20 a request on 8 connections": senders.plain(20, 8),
    }
    times = rounds_of(servers, _sides(send, LIMITS | plain), FAST_ROUNDS)
    best = best_of(times, list(plain))
    for name in plain:
        label = f"{name} (best plain sender)" if name == best else name
        yield Pairs(times[OURS], times[name]).row(NAME, label)
    limit = best_of(times, list(LIMITS))
    yield Pairs(times[OURS], times[limit]).row(NAME, limit, aim=1.15)


def _slow_rivals(servers: Servers, send: Sender) -> Iterator[Row]:
    """Compare with senders that take several times as long: few rounds are enough."""
    rivals = {
        "dicomweb-client, one by one": senders.dicomweb_client,
        "storescu, one association": senders.storescu,
        "requests, one by one": senders.plain(1, 1),
    }
    times = rounds_of(servers, _sides(send, rivals), SLOW_ROUNDS, warm_up=0)
    for name in rivals:
        yield Pairs(times[OURS], times[name]).row(NAME, name, aim=None if name.startswith("requests") else 1.0)


def _sides(send: Sender, rivals: Mapping[str, Sender]) -> dict[str, Side]:
    def stage() -> list[Staged]:
        return staged_files(series.exam(SLICES))

    series = template(SIDE)
    return {OURS: ours(stage, send)} | {name: Side(rival, stage) for name, rival in rivals.items()}
