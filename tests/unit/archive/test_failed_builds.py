"""A build that comes to nothing says so, leaves nothing behind, and leaves others alone."""

import pytest

from dicom_service.archive import dicomdir
from dicom_service.aws.sqs_worker import DeadLetter, Done, Retry
from dicomweb.errors import PacsUnreachable
from tests.support.archives import BUILD, STUDY, World, slices


def test_a_defect_is_tried_again_and_told_as_failed_in_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.pacs.add(*slices(2))
    world.begin()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(dicomdir.Directory, "write", broken)
    for attempt in range(1, 8):
        assert isinstance(world.build(attempt=attempt), Retry)
        assert world.archive().state == "building"
    assert world.build(attempt=8) == DeadLetter("INTERNAL_ERROR")

    # THEN nobody waits for it any more, and nothing of it is left
    assert (world.archive().state, world.archive().reason) == ("failed", "INTERNAL_ERROR")
    assert world.keys() == []
    assert world.uploads() == []

    # AND its dead letter, sent again, makes it
    monkeypatch.undo()
    assert world.build() == Done()
    assert (world.archive().state, world.archive().reason) == ("ready", None)


@pytest.mark.parametrize("attempt", [1, 8])
def test_one_that_was_replaced_and_fails_leaves_the_other_alone(world: World, attempt: int) -> None:
    world.pacs.add(*slices(2))
    world.begin()

    def replaced(uid: str) -> None:
        seen = world.archive()
        if seen.build == BUILD:
            world.table().begin(STUDY, "cd" * 15, "service", seen)
        raise PacsUnreachable("down")

    world.pacs.before = replaced
    assert world.build(attempt=attempt) == Done()
    assert (world.archive().build, world.archive().state) == ("cd" * 15, "queued")
    assert world.keys() == []
    assert world.uploads() == []


def test_one_whose_instances_are_all_gone_meanwhile_is_none(world: World) -> None:
    world.pacs.add(*slices(3))
    world.begin()
    world.pacs.before = lambda uid: world.pacs.files.clear()
    assert world.build() == Done()
    assert (world.archive().state, world.archive().reason) == ("failed", "NOT_FOUND")
    assert world.keys() == []
    assert world.uploads() == []
