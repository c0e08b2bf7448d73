"""What an operator types, and what comes back."""

import json
from pathlib import Path

import pytest

from dicom_service import aws
from dicom_service.erasure.places import Places
from scripts import erase
from tests.support.erasure import ALICE, World
from tests.support.template import OUTPUTS


@pytest.fixture
def stack(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(erase, "places_of", lambda _: world.places)
    return world


def test_the_outputs_of_the_stack_name_every_place() -> None:
    places = Places.of({name: f"the {name}" for name in OUTPUTS}, {"WorklistFiles": "s3://bucket/wl"})
    assert (places.exams, places.cache) == ("the ExamsTable", "the CacheBucket")
    assert places.worklist_files == "s3://bucket/wl"
    assert {"IngestQueue", "IngestDeadLetterQueue", "DeadWebhooksQueue"} <= set(places.queues)


def test_an_erasure_prints_and_writes_its_receipt(
    stack: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.keep(ALICE)
    file = tmp_path / "receipt.json"
    arguments = ["--patient", ALICE.patient_id, "--receipt", str(file)]

    assert erase.main([*arguments, "--dry-run"]) == 0
    assert "Rehearsal of an erasure of a patient" in capsys.readouterr().out
    assert stack.found(ALICE)
    assert erase.main(arguments) == 0

    told, written = capsys.readouterr().out, json.loads(file.read_text())
    assert stack.found(ALICE) == {}
    assert written["stores"]["thumbnails/"] == {"removed": 1}
    assert written["by"].startswith("arn:aws:")
    assert written["by"] in told
    assert ALICE.patient_id not in told + file.read_text()


def test_what_stays_and_what_failed_have_a_status(stack: World, capsys: pytest.CaptureFixture[str]) -> None:
    stack.ingest.put("quarantine/drop/x", b"PK\x03\x04 no ZIP")
    assert erase.main(["--study", ALICE.study]) == 1
    aws.s3().delete_bucket(Bucket="cache")
    assert erase.main(["--study", ALICE.study]) == 2
    assert "cache" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--study", "1.2.3", "--patient", "P1"],
        ["--study", "P1"],
        ["--study", "1.2.3", "--issuer", "HERE"],
        ["--patient", " "],
        ["--patient", "P1", "--word", "ABC"],
    ],
)
def test_what_makes_no_sense_erases_nothing(stack: World, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        erase.main(arguments)
    assert ended.value.code == 2
