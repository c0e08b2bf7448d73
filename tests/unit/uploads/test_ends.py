"""Every upload ends: whatever a file does to the ingest, it holds up neither the others nor their announcement."""

import re
from pathlib import Path
from typing import Any

import pytest

from dicom_service.ingest import batch as ingesting
from dicom_service.storing.outbound_instance import OutboundInstance, open_instance
from tests.support.template import RESOURCES
from tests.support.upload_files import dicom, uid, zipped
from tests.support.uploads import World, event_body, filed

STUDY = uid(1)[: -len(".1.1")]


def fails_at(monkeypatch: pytest.MonkeyPatch, sop_instance_uid: str) -> None:
    """Let the making ready of one instance raise what nobody foresaw."""

    def opened(*args: Any, **limits: Any) -> OutboundInstance:
        instance = open_instance(*args, **limits)
        if instance.header.sop_instance_uid == sop_instance_uid:
            raise ZeroDivisionError
        return instance

    monkeypatch.setattr(ingesting, "open_instance", opened)


def until_quiet(world: World, bodies: list[str]) -> int:
    tries = 0
    while bodies:
        tries += 1
        assert tries < 50, "it is never done"
        bodies = world.deliver(bodies)
    return tries


def test_an_error_that_nobody_foresaw_ends_its_file_and_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a file at which the ingest fails, uploaded among good ones and dropped
    fails_at(monkeypatch, uid(2))
    upload_id = world.open([dicom(1), dicom(2), dicom(3)])
    world.put("drop/bad", dicom(2))

    tries = until_quiet(world, world.events(""))

    # THEN it is told after some tries, lies in quarantine, and the exam of the others is complete
    assert tries == ingesting.MOST_ERRORS
    progress = world.progress(upload_id)
    assert [file.get("reason") for file in progress["files"]] == [None, "INTERNAL_ERROR", None]
    assert progress["state"] == "completed"
    assert not (world.registry().study(STUDY) or {}).get("openSessions")
    assert world.report("drop/bad")["reason"] == "INTERNAL_ERROR"
    assert sorted(world.keys("quarantine/")) == sorted(
        [f"quarantine/{filed('drop/bad')}", f"quarantine/uploads/{upload_id}/0002"]
    )


def test_a_dropped_file_with_tags_is_put_aside_with_them(world: World) -> None:
    """Whoever drops files may tag them; the rights that the copy needs are in tests/unit/test_roles.py."""
    world.put("drop/letter", b"no DICOM")
    world.s3.put_object_tagging(
        Bucket="staging", Key="drop/letter", Tagging={"TagSet": [{"Key": "from", "Value": "ct1"}]}
    )
    until_quiet(world, world.events("drop/"))
    (key,) = world.keys("quarantine/")
    assert world.s3.get_object_tagging(Bucket="staging", Key=key)["TagSet"] == [{"Key": "from", "Value": "ct1"}]
    assert world.keys("drop/") == []


def test_an_error_that_passes_ends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as failing:
        fails_at(failing, uid(2))
        upload_id = world.open([dicom(1), dicom(2)])
        left = world.events("uploads/")
        for _ in range(ingesting.MOST_ERRORS - 1):
            left = world.deliver(left)
    assert len(left) == 1

    assert world.deliver(left) == []

    assert world.progress(upload_id)["counts"] == {"stored": 2}


def test_an_upload_ends_with_its_time_although_a_file_of_it_is_stuck(world: World) -> None:
    # GIVEN an upload of which one file is stored and one is in the bucket, where nobody comes for it
    upload_id = world.open([dicom(1), dicom(2)])
    stuck = [body for body in world.events("uploads/") if "/0002" in body]
    world.deliver([body for body in world.events("uploads/") if body not in stuck])
    assert [file["state"] for file in world.progress(upload_id)["files"]] == ["stored", "received"]

    # WHEN its time is over
    world.now += 3600 + 901
    world.expiry().run()

    # THEN it has ended, and the exam of what was stored is complete
    assert world.progress(upload_id)["state"] == "expired"
    assert not (world.registry().study(STUDY) or {}).get("openSessions")
    assert world.expiry().run() == 0

    # WHEN the file comes through after all, THEN it is stored, and its exam is complete again
    assert world.deliver(stuck) == []
    assert sorted(world.pacs.stored) == [uid(1), uid(2)]
    assert not (world.registry().study(STUDY) or {}).get("openSessions")
    assert world.progress(upload_id)["state"] == "completed"


def test_a_file_that_waits_for_the_pacs_keeps_its_upload_open_while_it_is_tried(world: World) -> None:
    world.pacs.refuse[uid(2)] = 0xA700
    upload_id = world.open([dicom(1), dicom(2)])
    world.now += 3600 + 901
    left = world.deliver(world.events("uploads/"))

    # WHEN it was tried just now, THEN its upload is open; WHEN nobody has tried it for long, it ends
    world.expiry().run()
    assert world.progress(upload_id)["state"] == "open"
    world.now += 3000
    world.expiry().run()
    assert world.progress(upload_id)["state"] == "expired"
    world.pacs.refuse.clear()
    assert world.deliver(left) == []
    assert world.progress(upload_id)["counts"] == {"stored": 2}


def test_a_form_that_is_used_again_changes_nothing_and_is_counted(world: World) -> None:
    # GIVEN a file that is stored, and its form used again: with the same bytes, and with others
    upload_id = world.open([dicom(1)])
    first = world.events("uploads/")
    world.deliver(first)
    for content in (dicom(1), dicom(7)):
        world.put(f"uploads/{upload_id}/0001", content)

    # WHEN they are delivered, and the first message once more
    for body in [*world.events("uploads/"), *first]:
        assert world.deliver([body]) == []

    # THEN nothing has changed but the count, and nothing is left
    [file] = world.progress(upload_id)["files"]
    assert (file["state"], file["copies"]) == ("stored", 2)
    assert list(world.pacs.stored) == [uid(1)]
    assert world.s3.list_object_versions(Bucket="staging").get("Versions", []) == []


@pytest.mark.parametrize("name", ["a\x01b\x1f.dcm", "a\rb\n.dcm", "x" * 1019, "ä" * 500], ids=str.isprintable)
def test_keys_of_any_kind_go_away_with_a_report(world: World, name: str) -> None:
    # GIVEN a good and a bad file under keys that XML or a longer key could not hold
    key = f"drop/{name}"
    for content in (dicom(1), b"no dicom"):
        put = world.put(key, content)
        # The event by hand: what lists keys for the test cannot hold this one.
        body = event_body({"Key": key, "Size": len(content), "ETag": put["ETag"], "VersionId": put["VersionId"]})
        assert world.deliver([body]) == []
        gone = {"Bucket": "staging", "Key": key, "VersionId": put["VersionId"]}
        with pytest.raises(world.s3.exceptions.ClientError):
            world.s3.head_object(**gone)

    assert world.report(key)["reason"] == "NO_DICM"
    assert world.report(key)["key"] == key
    assert world.keys("quarantine/") == [f"quarantine/{filed(key)}"]
    assert world.keys("reports/") == [f"reports/{filed(key)}.json"]


@pytest.mark.parametrize("key", ["uploads/x", "uploads//", "uploads/{upload_id}/#upload", "uploads/ROSSI^MARIO/1"])
def test_what_lies_where_no_upload_puts_anything_stops_nobody(world: World, key: str) -> None:
    upload_id = world.open([dicom(1), zipped({"a": dicom(2)})])
    world.put(key.format(upload_id=upload_id), dicom(3))

    assert world.deliver(world.events("uploads/")) == []
    assert sorted(world.pacs.stored) == [uid(1), uid(2)]

    assert world.progress(upload_id)["counts"] == {"stored": 2}
    [kept] = world.keys("quarantine/")
    assert world.keys("uploads/") == []
    assert re.fullmatch("quarantine/uploads/[0-9a-f]{64}", kept)


def test_no_object_outlives_the_documented_days() -> None:
    """In a versioned bucket an object expires, and its version goes the days of the second rule later."""
    rules = RESOURCES["StagingBucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    lives = {
        rule["Prefix"]: rule["ExpirationInDays"] + rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        for rule in rules
        if "Prefix" in rule
    }
    text = (Path(__file__).parents[3] / "docs" / "uploads.md").read_text()

    assert lives == {"uploads/": 30, "drop/": 30, "quarantine/": 90, "reports/": 90}
    assert {"Id": "markers", "Status": "Enabled", "ExpiredObjectDeleteMarker": True} in rules
    assert re.search(r"Quarantine and reports are kept for 90 days", text)
    assert re.search(r"for at least 15 and at most 30 days", text)
    shortest = min(rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules[:2])
    assert shortest * 86_400 > RESOURCES["IngestQueue"]["Properties"]["MessageRetentionPeriod"]
