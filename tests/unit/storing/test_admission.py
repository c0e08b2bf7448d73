"""Claims and their leases, what the PACS holds already, and a PACS that stops: told by a sender with a guard."""

import threading
import tracemalloc
import zlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import boto3
import pytest

from dicom_service.ingest.sender import Sender
from dicom_service.native_syntaxes import DEFLATED
from dicom_service.part10 import BytesSource
from dicom_service.storing.admission import STOPS, Admission, AdmissionSettings
from dicom_service.storing.claims import Claim, Claims, ClaimSettings
from dicom_service.storing.failure_reasons import PACS_STOPS_ON_IT, SOP_INSTANCE_DIFFERS, STUDY_OF_ANOTHER_PATIENT
from dicom_service.storing.outbound_instance import OutboundInstance, open_instance
from dicom_service.storing.pacs_lookup import Place, digest_of, has_same_content
from dicom_service.storing.request_files import UploadedFile
from dicom_service.storing.store_files import store_files
from tests.support.dicom_files import dataset, element, part10
from tests.support.memory_pacs import MemoryPacs
from tests.support.uploads import cloud

LEASE = 960
SOP, STUDY = "1.2.3.4.5", "1.2.3"


def instance(comment: bytes = b"one", **changes: bytes | None) -> OutboundInstance:
    content = part10(dataset(implicit=False, **changes) + element(0x00204000, b"LT", comment))
    return open_instance(BytesSource(content))


class World:
    def __init__(self) -> None:
        self.pacs = MemoryPacs()
        self.now = 1_800_000_000.0
        self.claims = Claims(ClaimSettings("Instances", "Exams"), lease=LEASE, clock=lambda: self.now)

    def admission(self, *, decides: bool = False) -> Admission:
        return Admission(AdmissionSettings(decides, decides), self.pacs, self.claims)

    def send(self, *files: OutboundInstance, decides: bool = False) -> list[str]:
        """What becomes of files sent together by one more invocation."""
        results = Sender(self.pacs, self.admission(decides=decides)).send(files)
        return [(failure.reason if failure.rejected else "later") if failure else "stored" for failure in results]

    def items(self) -> int:
        return len(boto3.client("dynamodb").scan(TableName="Instances")["Items"])


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with cloud(monkeypatch):
        yield World()


def test_a_writer_that_was_killed_blocks_another_content_for_a_lease_and_no_longer(world: World) -> None:
    # GIVEN a claim whose writer never sent
    (decision,) = world.admission().decide([instance()])
    assert decision.admitted
    # THEN the same content goes on at once, another waits
    assert world.send(instance(b"other")) == ["later"]
    world.now += LEASE - 1
    assert world.send(instance(b"other")) == ["later"]
    # WHEN the lease is over THEN it comes in, and the first is the one that differs
    world.now += 2
    assert world.send(instance(b"other")) == ["stored"]
    assert world.send(instance()) == [SOP_INSTANCE_DIFFERS]


def test_a_killed_writers_own_retry_keeps_the_place(world: World) -> None:
    world.admission().decide([instance()])
    world.now += LEASE - 1
    world.admission().decide([instance()])
    world.now += LEASE - 1
    assert world.send(instance(b"other")) == ["later"]
    assert world.send(instance()) == ["stored"]


def test_what_was_deleted_in_the_pacs_may_be_replaced_after_the_lease(world: World) -> None:
    assert world.send(instance()) == ["stored"]
    world.pacs.held.clear()
    world.now += LEASE + 1
    assert world.send(instance(b"corrected")) == ["stored"]


def test_the_pacs_is_believed_when_a_claim_is_old(world: World) -> None:
    assert world.send(instance()) == ["stored"]
    world.now += LEASE + 1
    assert world.send(instance(b"other")) == [SOP_INSTANCE_DIFFERS]
    assert world.send(instance()) == ["stored"]


@pytest.mark.parametrize("searches_all", [True, False])
def test_what_came_past_the_service_is_compared_once(world: World, searches_all: bool) -> None:
    world.pacs.searches_all = searches_all
    world.pacs.held[STUDY, SOP] = b"".join(instance().stream())
    assert world.send(instance(b"other")) == [SOP_INSTANCE_DIFFERS]
    assert world.send(instance()) == ["stored"]
    before = world.pacs.asked.count("fetch")
    assert world.send(instance()) == ["stored"]
    assert world.pacs.asked.count("fetch") == before


def test_the_same_elements_in_other_bytes_are_the_same_content(world: World) -> None:
    # GIVEN a PACS that wrote a sequence with undefined length
    item = element(0x00080100, b"SH", b"CODE")
    defined = element(0x00081140, b"SQ", b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item)
    opened = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + item + b"\xfe\xff\x0d\xe0\0\0\0\0"
    undefined = element(0x00081140, b"SQ", opened, length=0xFFFFFFFF) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    head = dataset()
    at = head.index(b"\x10\x00\x20\x00")
    mine, theirs = (part10(head[:at] + sequence + head[at:]) for sequence in (defined, undefined))
    world.pacs.held[STUDY, SOP] = theirs
    assert world.send(open_instance(BytesSource(mine))) == ["stored"]


def test_what_the_pacs_has_deflated_is_another_and_is_not_inflated_to_find_that_out(world: World) -> None:
    zeros = bytes(32 << 20)
    compress = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = compress.compress(dataset()) + compress.compress(element(0xFFFCFFFC, b"OB", zeros)) + compress.flush()
    world.pacs.held[STUDY, SOP] = part10(bomb, DEFLATED)
    mine = instance()
    place = Place(STUDY, mine.header.series_instance_uid)
    digest = digest_of(mine.header, mine.stream())
    tracemalloc.start()
    try:
        same = has_same_content(world.pacs, place, mine.header, digest, mine.size, mine.stream)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not same
    assert most < len(zeros) / 2


def test_duplicate_instance_counts_as_stored_only_with_the_same_content(world: World) -> None:
    # GIVEN a PACS that finds nothing in a search, yet says "0111" to what it has
    world.pacs.says_duplicate = True
    world.pacs.searches_all = False
    world.pacs.search_for_instances = lambda *_, **__: SimpleNamespace(datasets=[])  # type: ignore[method-assign]
    world.pacs.held[STUDY, SOP] = b"".join(instance(b"theirs").stream())
    assert world.send(instance(b"mine")) == [SOP_INSTANCE_DIFFERS]
    assert world.send(instance(b"theirs")) == ["stored"]


def test_ordinary_files_cost_an_item_each_and_two_searches_together(world: World) -> None:
    files = [instance(SOPInstanceUID=f"1.2.3.4.{number}".encode()) for number in range(20)]
    assert world.send(*files) == ["stored"] * 20
    assert sorted(world.pacs.asked) == ["instances", "store", "studies"]
    # one for each file, and one for the study that was new
    assert world.items() == 21


def test_claims_are_made_while_the_pacs_searches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a PACS whose searches end only once the claims are made
    claimed = threading.Event()
    answer, make = world.pacs._answer, world.claims.make
    monkeypatch.setattr(world.pacs, "_answer", lambda what: (what == "store" or claimed.wait(10)) and answer(what))

    def made(claims: Sequence[Claim]) -> dict[str, Claim]:
        standing = make(claims)
        claimed.set()
        return standing

    monkeypatch.setattr(world.claims, "make", made)
    # THEN all of them are asked within one another's time
    assert world.send(instance()) == ["stored"]
    assert sorted(world.pacs.asked) == ["instances", "store", "studies"]


def test_a_claim_on_what_is_anothers_is_released_at_once(world: World) -> None:
    world.pacs.held["1.9", SOP] = b"".join(instance(StudyInstanceUID=b"1.9").stream())
    world.pacs.held[STUDY, "1.2.3.4.6"] = b"".join(instance(SOPInstanceUID=b"1.2.3.4.6").stream())
    other = instance(b"other", SOPInstanceUID=b"1.2.3.4.6")
    stranger = instance(SOPInstanceUID=b"1.2.3.4.7", PatientID=b"P-2")
    refused = [SOP_INSTANCE_DIFFERS, SOP_INSTANCE_DIFFERS, STUDY_OF_ANOTHER_PATIENT]
    assert world.send(instance(), other, stranger) == refused
    assert world.items() == 0


def test_no_claim_is_left_where_the_pacs_cannot_be_searched(world: World) -> None:
    world.pacs.dead = True
    assert world.send(instance(), instance(SOPInstanceUID=b"1.2.3.4.6")) == ["later", "later"]
    assert world.items() == 0


def test_a_claim_in_dispute_keeps_nobody_from_sending_what_the_pacs_has(world: World) -> None:
    # GIVEN an instance that came past the service, and another content that has just been claimed for its UID
    world.claims.make([world.claims.wanted(SOP, "1.9", "digest")])
    world.pacs.held[STUDY, SOP] = b"".join(instance().stream())
    # THEN the content that the PACS has is as welcome as before, and any other is refused
    assert world.send(instance()) == ["stored"]
    assert world.send(instance(b"other")) == [SOP_INSTANCE_DIFFERS]


def test_two_patients_of_one_study_in_one_batch(world: World) -> None:
    other = instance(SOPInstanceUID=b"1.2.3.4.6", PatientID=b"P-2")
    assert world.send(instance(), other) == ["stored", STUDY_OF_ANOTHER_PATIENT]
    assert world.send(other) == [STUDY_OF_ANOTHER_PATIENT]


def test_where_the_pacs_decides_all_is_sent(world: World) -> None:
    files = [instance(), instance(b"other"), instance(StudyInstanceUID=b"1.9"), instance(PatientID=b"P-2")]
    assert [world.send(file, decides=True) for file in files] == [["stored"]] * 4
    assert world.pacs.asked.count("store") == 4


def test_a_file_on_which_the_pacs_stops_is_given_up_and_its_neighbour_is_not(world: World) -> None:
    world.pacs.deadly = {SOP}
    deadly, neighbour = instance(), instance(SOPInstanceUID=b"1.2.3.4.6")
    assert world.send(deadly, neighbour) == ["later", "later"]
    world.pacs.dead = False
    # WHEN it is back both are suspected, and each goes alone
    told = []
    for _ in range(STOPS):
        world.pacs.dead = False
        told.append(world.send(deadly, neighbour))
    # THEN the one that is known for it goes last, and is given up at the third time
    assert told == [["later", "later"], ["later", "stored"], [PACS_STOPS_ON_IT, "stored"]]
    # AND from then on it is not sent any more
    world.pacs.dead = False
    sent = world.pacs.asked.count("store")
    assert world.send(deadly) == [PACS_STOPS_ON_IT]
    assert world.pacs.asked.count("store") == sent


def test_a_pacs_that_was_down_before_blames_no_file(world: World) -> None:
    world.pacs.dead = True
    for _ in range(5):
        assert world.send(instance()) == ["later"]
    world.pacs.dead = False
    assert world.send(instance()) == ["stored"]


def test_the_time_of_the_pacs_is_that_of_its_requests_alone(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    # GIVEN a file that is claimed, searched for, and stored
    content = part10(dataset())
    registry = SimpleNamespace(record=lambda arrived, *, source, session: len(arrived))

    stored = store_files([UploadedFile("a", content)], world.pacs, registry, world.admission())

    # THEN the metric has the store request, not the claims before it, which wait for the table, too
    assert stored.complete
    assert capsys.readouterr().out.count('"Name":"PacsSeconds"') == 1
