"""The ingest in front of a real Orthanc, with a proxy between them that misbehaves: nothing lost, nothing twice.

``SOAK=1`` raises the numbers to those of docs/reliability.md.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator

import pytest
import requests
from requests.auth import HTTPBasicAuth

from dicomweb.client import DicomwebClient, InstanceResult, StorePart, StoreResult, Timeouts
from local.orthanc import Orthanc
from tests.support.faults import FAULTS, FaultyProxy
from tests.support.upload_files import ROOT, dicom, zipped
from tests.support.uploads import World, cloud

SOAK = bool(os.environ.get("SOAK"))
FILES = 24
IN_ZIP = 10


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with cloud(monkeypatch) as made:
        yield made


def login(orthanc: Orthanc) -> tuple[str, str]:
    pacs = orthanc.pacs()
    return pacs.user, pacs.password


@pytest.fixture
def proxy(orthanc: Orthanc) -> Iterator[FaultyProxy]:
    with FaultyProxy(orthanc.pacs().url) as made:
        yield made


def connect(world: World, proxy: FaultyProxy, orthanc: Orthanc) -> None:
    world.pacs = DicomwebClient(  # type: ignore[assignment]
        proxy.url, auth=HTTPBasicAuth(*login(orthanc)), timeouts=Timeouts(1, 0.7, 6), max_retries=1
    )


def stage(world: World) -> tuple[str, str, list[str]]:
    """An upload of many small instances, a larger one and a ZIP, and a dropped file, all of one study."""
    study = f"{ROOT}.{time.time_ns()}"
    files = [dicom(number, study=study) for number in range(FILES)]
    files.append(dicom(1000, study=study, pixels=3_000_000))
    files.append(zipped({f"IM{n}": dicom(2000 + n, study=study) for n in range(IN_ZIP)} | {"README": b"x"}))
    upload_id = world.open(files)
    world.put("drop/one.dcm", dicom(3000, study=study))
    return study, upload_id, world.events("")


def until_quiet(world: World, bodies: list[str]) -> int:
    for deliveries in range(60):
        if not bodies:
            return deliveries
        bodies = world.deliver(bodies)
    raise AssertionError(f"{len(bodies)} messages are never done")


def problems(world: World, orthanc: Orthanc, study: str, upload_id: str) -> list[str]:
    """What is lost, doubled or told wrongly."""
    found = requests.get(f"{orthanc.pacs().url}/studies/{study}/instances", auth=login(orthanc), timeout=30).json()
    in_pacs = Counter(row["00080018"]["Value"][0] for row in found)
    progress = world.progress(upload_id)
    uploaded = FILES + 1 + IN_ZIP
    facts = {
        "in the PACS once": len(in_pacs) == uploaded + 1 and set(in_pacs.values()) == {1},
        "registered": world.registered() == sorted(in_pacs),
        "counted": world.counted() == uploaded + 1,
        "state": progress["state"] == "completed",
        "files": progress["counts"] == {"stored": FILES + 2},
        "instances": progress["instances"] == uploaded,
        "report": world.report("drop/one.dcm")["state"] == "stored",
        "nothing rejected": world.told() == [] and world.keys("quarantine/") == [],
        "cleared away": world.keys("uploads/") == world.keys("drop/") == [],
    }
    return [name for name, true in facts.items() if not true]


@pytest.mark.parametrize("fault", FAULTS)
def test_one_kind_of_fault(world: World, proxy: FaultyProxy, orthanc: Orthanc, fault: str) -> None:
    # GIVEN a PACS that does this to the first six requests
    connect(world, proxy, orthanc)
    proxy.script([fault] * 6)
    study, upload_id, bodies = stage(world)

    # WHEN the messages are delivered until none comes back
    deliveries = until_quiet(world, bodies)

    # THEN all is there once
    wrong = problems(world, orthanc, study, upload_id)
    print(f"{fault}: met {proxy.met[fault]}, deliveries {deliveries}, violations {len(wrong)}")
    assert proxy.met[fault] >= 1
    assert wrong == []


@pytest.mark.parametrize("seed", range(25 if SOAK else 2))
def test_any_mixture_of_faults(world: World, proxy: FaultyProxy, orthanc: Orthanc, seed: int) -> None:
    # GIVEN a PACS that misbehaves in every way, and messages that come several times in any order
    chance = random.Random(seed)
    connect(world, proxy, orthanc)
    proxy.script([chance.choice([*FAULTS, ""]) for _ in range(40)])
    study, upload_id, bodies = stage(world)
    bodies = bodies * 2
    chance.shuffle(bodies)

    until_quiet(world, bodies)

    wrong = problems(world, orthanc, study, upload_id)
    print(f"seed {seed}: met {sum(proxy.met.values()) - proxy.met['none']} faults, violations {len(wrong)}")
    assert wrong == []


def test_a_pacs_that_is_down_for_long(world: World, proxy: FaultyProxy, orthanc: Orthanc) -> None:
    # GIVEN a PACS that is down
    connect(world, proxy, orthanc)
    proxy.script(["down"] * 100_000)
    study, upload_id, bodies = stage(world)

    # WHEN the messages are tried again and again
    for _ in range(6):
        bodies = world.deliver(bodies)

    # THEN all wait and are told as received, and once it is back all is there
    assert set(world.progress(upload_id)["counts"]) == {"received"}
    assert world.progress(upload_id)["state"] == "open"
    proxy.script([])
    until_quiet(world, bodies)
    assert problems(world, orthanc, study, upload_id) == []


def test_the_check_sees_what_is_taken_for_stored_and_is_not(world: World, proxy: FaultyProxy, orthanc: Orthanc) -> None:
    """Negative control: a client that trusts the status 200 loses instances, and the check says so."""
    connect(world, proxy, orthanc)

    class Trusting:
        def store_instances(self, parts: list[StorePart], study_uid: str | None = None) -> StoreResult:
            head = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
            body = b"".join(head + b"".join(part.open()) + b"\r\n" for part in parts)
            requests.post(
                f"{proxy.url}/studies",
                data=body + b"--b--\r\n",
                headers={"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'},
                auth=login(orthanc),
                timeout=30,
            )
            return StoreResult(tuple(InstanceResult(p.sop_class_uid, p.sop_instance_uid, True) for p in parts))

    proxy.script(["half-400", "nonsense"])
    world.pacs = Trusting()  # type: ignore[assignment]
    study, upload_id, bodies = stage(world)
    until_quiet(world, bodies)

    assert "in the PACS once" in problems(world, orthanc, study, upload_id)
