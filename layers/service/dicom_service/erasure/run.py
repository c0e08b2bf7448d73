"""One erasure from beginning to end: find, write down, erase, and say what was done (docs/security.md, "Erasure")."""

import datetime
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dicom_service import aws
from dicom_service.erasure import tables
from dicom_service.erasure.buckets import Cache, Staging, erase_worklist_files
from dicom_service.erasure.places import Places
from dicom_service.erasure.plan import Plan
from dicom_service.erasure.stores import Writer, available
from dicom_service.erasure.subject import Request, Subject
from dicom_service.erasure.uploads import UploadRows
from dicom_service.patient import PatientHasher

# What no run can reach, in the words of the receipt.
NOT_REACHED = (
    "The PACS and its worklist: delete the exam there first, or what is asked for again is copied again.",
    "Messages in queues: UIDs, keys of staged files, events; 14 days at most. The numbers above are of this moment.",
    "Backups: tables but those of codes and tokens can be restored to any moment of the last 35 days; the streams of "
    "ExamEvents and Workitems hold 24 hours. After a restore, erase again.",
    "The audit: who saw the exam, with its UID and a keyed hash of the patient, until AuditRetentionDays end "
    "(GDPR Art. 17(3)(b)).",
    "What has left: webhooks, events on the bus, files and pictures already fetched; a link lives 60 s more.",
    "Logs and traces: no values of patients; UIDs hashed in logs, in the paths of requests in traces and access logs.",
)


@dataclass(frozen=True)
class Receipt:
    """What an erasure did.

    Parameters
    ----------
    kind, subject
        ``study`` or ``patient``, and a hash of whom; the patient's is keyed.
    at, by, stack
        When, who, where.
    rehearsal
        Nothing was changed: the counts are what would be.
    resumed
        An earlier run had not come to its end.
    studies
        How many exams were found to belong to the subject.
    stores
        Counts by store: ``removed`` and ``blanked``.
    left
        What stays although it may be the subject's, by reason.
    queues
        Messages in each queue that is not empty.
    """

    kind: str
    subject: str
    at: str
    by: str
    stack: str
    rehearsal: bool
    resumed: bool
    studies: int
    stores: Mapping[str, Mapping[str, int]]
    left: Mapping[str, int]
    queues: Mapping[str, int]

    @property
    def nothing(self) -> bool:
        """Whether nothing was found."""
        return not any(number for counts in self.stores.values() for number in counts.values())

    def to_json(self) -> str:
        """Return the receipt for a file."""
        return json.dumps({**asdict(self), "notReached": NOT_REACHED}, indent=1)

    def to_text(self) -> str:
        """Return the receipt for people."""
        did = "would be" if self.rehearsal else "was"
        lines = [
            f"{'Rehearsal of an erasure' if self.rehearsal else 'Erasure'} of a {self.kind} ({self.subject})",
            f"at {self.at} by {self.by} in {self.stack}; {self.studies} exams"
            + ("; goes on with a run that did not end" if self.resumed else ""),
            f"What {did} erased:",
        ]
        for store, counts in sorted(self.stores.items()):
            found = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()) if number)
            lines.append(f"  {store:<16} {found or 'nothing'}")
        lines += ["What stays:", *(f"  {number} × {why}" for why, number in self.left.items() if number)]
        lines += [f"  {number} messages in {name}" for name, number in sorted(self.queues.items())]
        lines += [f"  {line}" for line in NOT_REACHED]
        return "\n".join(lines)


def erase(
    places: Places,
    request: Request,
    hasher: PatientHasher,
    *,
    by: str,
    stack: str,
    rehearsal: bool = False,
    clock: Callable[[], float] = time.time,
) -> Receipt:
    """Erase what the service holds of a study or a patient, or rehearse it.

    Everything is found before anything is erased, and written down: a run that was killed is finished by the next.
    Codes are revoked first, so that from then on nothing opens the exam.

    Raises
    ------
    Unavailable
        A store is unavailable; run it again.
    """
    subject, writer = Subject(request, hasher), Writer(rehearsal=rehearsal)
    plan = Plan(places.events, subject)
    resumed = plan.load()
    staging, cache, uploads = Staging(places, subject), Cache(places, subject), UploadRows(places, subject)
    tables.find_studies(places, subject)
    cache.find()
    staging.find()
    uploads.find()
    if not rehearsal:
        plan.save()
    otp_ids = tables.revoke(places, subject, writer)
    tables.erase_archives(places, subject, writer)
    cache.erase(writer)
    staging.erase(writer)
    tables.erase_events(places, subject, writer)
    uploads.erase(writer)
    tables.erase_codes(places, subject, writer, otp_ids)
    tables.erase_exams(places, subject, writer)
    erase_worklist_files(places, subject.studies, writer)
    if not rehearsal:
        plan.remove()
    left = {
        "staged ZIPs with somebody else's exam, which the PACS does not have yet: run again in an hour": staging.mixed,
        "ZIPs that cannot be opened, nobody knows whose; they expire": staging.unread,
        "files rejected unread beside somebody else's exam; they expire": uploads.unknown,
    }
    return Receipt(
        kind="study" if request.patient is None else "patient",
        subject=subject.tokens()[0],
        at=datetime.datetime.fromtimestamp(clock(), datetime.UTC).isoformat(timespec="seconds"),
        by=by,
        stack=stack,
        rehearsal=rehearsal,
        resumed=resumed,
        studies=len(subject.studies),
        stores={store: dict(counts) for store, counts in writer.counts.items()},
        left=left,
        queues=_waiting(places),
    )


def _waiting(places: Places) -> dict[str, int]:
    counts: dict[str, int] = {}
    names: Any = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    names.append("ApproximateNumberOfMessagesDelayed")
    for name, url in places.queues.items():
        with available(name):
            attributes = aws.sqs().get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        counts[name] = sum(int(value) for value in attributes.values())
    return {name: number for name, number in counts.items() if number}
