"""Gives a file of any size: at once where it is cached or comes in time, else fetched by a function that has longer.

API Gateway waits 29 s; a PACS may need longer than that for the first byte of a large instance. Such an instance is
handed over, by a queue, to `fetch_instance`. Beside its place in the cache bucket a mark then says so, which at most
one of many callers can make:

======================  =====================================================================
``queued <token>``      a caller asked for the fetch; nobody has begun
``running <token>``     the message with this token is being worked on
no mark, no file        nobody asked, or the fetch was given up: the next caller begins anew
======================  =====================================================================

A mark that was not renewed for `FORSAKEN_AFTER` seconds, longer than a function lives and a message rests, holds
nobody up.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dicom_service import aws, log
from dicom_service.aws.sqs_worker import DeadLetter, Done, Outcome, Retry, backoff
from dicom_service.errors import NotFound, PacsError, ServiceError, Unavailable
from dicom_service.exams.retrieve import (
    CacheSettings,
    InstanceName,
    Retrieved,
    confirm,
    fetch_to_cache,
    link_to,
    retrieve_file,
)
from dicom_service.exams.scope import Scope, label_of, patient_of_file
from dicom_service.otp import dependencies
from dicom_service.settings import setting
from dicomweb.client import DicomwebClient

logger = log.get_logger()

FORSAKEN_AFTER = 1000.0
RETRY_AFTER = 10
# Kept files expire after a day: one that is close to it is fetched again rather than linked to in its last moment.
_FRESH_FOR = 23 * 3600.0
_ATTEMPTS = 6
# What the attempt in the request may take; the rest is for asking whether the PACS has the instance at all.
_SHARE = 0.75
_NOT_AVAILABLE = "The file cannot be handed over at the moment; try again."
_LOST_THE_RACE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"})


@dataclass(frozen=True)
class FetchSettings:
    """Who fetches what takes too long."""

    queue_url: str = setting("FETCH_QUEUE_URL")


@dataclass(frozen=True)
class WorkSettings(FetchSettings):
    """Where hopeless fetches go."""

    dead_letters_url: str = setting("DEAD_FETCH_QUEUE_URL")


@dataclass(frozen=True)
class Mark:
    """The mark of an instance: its ETag, and its age in seconds."""

    etag: str
    age: float

    @property
    def holds(self) -> bool:
        """Whether somebody is still at it."""
        return self.age < FORSAKEN_AFTER


@dataclass(frozen=True)
class Kept:
    """What the cache bucket has of an instance."""

    whole: bool = False
    mark: Mark | None = None


class Shelf:
    """The instances in the cache bucket and their marks."""

    def __init__(self, settings: CacheSettings) -> None:
        self._bucket = settings.bucket

    @aws.errors(_NOT_AVAILABLE)
    def look(self, name: InstanceName) -> Kept:
        """Return what there is of an instance."""
        listed = aws.s3().list_objects_v2(Bucket=self._bucket, Prefix=name.folder)
        now = datetime.now(UTC)
        whole, mark = False, None
        for found in listed.get("Contents", []):
            age = (now - found["LastModified"]).total_seconds()
            if found["Key"] == name.key:
                whole = age < _FRESH_FOR
            elif found["Key"] == _mark_key(name):
                mark = Mark(found["ETag"], age)
        return Kept(whole, mark)

    def owner(self, name: InstanceName) -> str:
        """Return the text of the mark, empty where there is none."""
        try:
            with aws.errors(_NOT_AVAILABLE):
                return aws.s3().get_object(Bucket=self._bucket, Key=_mark_key(name))["Body"].read().decode()
        except aws.Missing:
            return ""

    @aws.errors(_NOT_AVAILABLE)
    def label(self, name: InstanceName) -> str:
        """Return whose the file is, as it was kept with it; empty where nothing says so."""
        return aws.s3().head_object(Bucket=self._bucket, Key=name.key)["Metadata"].get("patient", "")

    @aws.errors(_NOT_AVAILABLE)
    def drop(self, name: InstanceName) -> None:
        """Remove the file: it is another patient's, who had it under these UIDs before."""
        aws.s3().delete_object(Bucket=self._bucket, Key=name.key)

    def mark(self, name: InstanceName, text: str, seen: Mark | None) -> bool:
        """Put a mark where there is still what was seen; False when somebody else was quicker."""
        still: dict[str, Any] = {"IfMatch": seen.etag} if seen else {"IfNoneMatch": "*"}
        try:
            with aws.errors(_NOT_AVAILABLE):
                aws.s3().put_object(Bucket=self._bucket, Key=_mark_key(name), Body=text.encode(), **still)
        except aws.AwsError as error:
            if error.aws_code in _LOST_THE_RACE:
                return False
            raise
        return True

    def unmark(self, name: InstanceName) -> None:
        """Take the mark away; one that stays is forsaken in a while."""
        with aws.tolerated("mark stays"):
            aws.s3().delete_object(Bucket=self._bucket, Key=_mark_key(name))


def give_file(
    client: DicomwebClient, name: InstanceName, cache: CacheSettings, fetching: FetchSettings, scope: Scope
) -> Retrieved:
    """Give an instance's file or a link to it, or see to it that there will be one.

    Raises
    ------
    NotFound
        The PACS does not have it; what was cached before is not given then.
    ExamSuspended
        It is not the patient's whom an access token was given for.
    PacsError
        The PACS cannot be asked, or its answer broke off.
    Unavailable
        ``BEING_FETCHED``: it takes longer than a request may. Or one of our stores refuses.
    """
    shelf = Shelf(cache)
    with client.shared_deadline():
        scope.ask(client)
        kept = _looked(shelf, name)
        if kept.whole:
            confirm(client, name, scope)
            if scope.accepts(shelf.label(name) if scope.fields else ""):
                return Retrieved(None, link_to(name, cache))
            shelf.drop(name)
        if kept.mark is not None and kept.mark.holds:
            raise _being_fetched()
        try:
            with client.shared_deadline(_SHARE):
                return retrieve_file(client, name, cache, scope, label)
        except PacsError as error:
            if error.status != 504:
                raise
            # Too slow with this file; a PACS that cannot even say that it has it is down, which a fetch cannot mend.
            confirm(client, name, scope)
            _hand_over(shelf, name, kept.mark, fetching.queue_url)
            raise _being_fetched() from error


def label(beginning: bytes) -> str:
    """Return what is kept beside a file in the cache bucket: the hash of its patient."""
    return label_of(patient_of_file(beginning), dependencies.hasher())


def _looked(shelf: Shelf, name: InstanceName) -> Kept:
    try:
        return shelf.look(name)
    except Unavailable as error:
        # Small files need no cache bucket.
        logger.warning("file cache not readable", extra=log.describe(error))
        return Kept()


def _hand_over(shelf: Shelf, name: InstanceName, seen: Mark | None, queue_url: str) -> None:
    token = secrets.token_hex(8)
    if not shelf.mark(name, f"queued {token}", seen):
        return
    try:
        with aws.errors("The file cannot be fetched at the moment; try again."):
            aws.sqs().send_message(QueueUrl=queue_url, MessageBody=json.dumps(_message(name, token)))
    except aws.AwsError:
        shelf.unmark(name)
        raise


def _message(name: InstanceName, token: str) -> dict[str, str]:
    return {
        "StudyInstanceUID": name.study_uid,
        "SeriesInstanceUID": name.series_uid,
        "SOPInstanceUID": name.instance_uid,
        "token": token,
    }


class Fetcher:
    """Fetches what was handed over.

    Parameters
    ----------
    client
        The PACS, with all the time that a function has.
    cache
        Where the files go.
    """

    def __init__(self, client: DicomwebClient, cache: CacheSettings) -> None:
        self._client = client
        self._cache = cache
        self._shelf = Shelf(cache)

    def fetch(self, message: Mapping[str, Any], attempt: int) -> Outcome:
        """Fetch the instance of a message, unless it is there or somebody else is at it.

        Parameters
        ----------
        message
            As it was handed over.
        attempt
            How often it has been received, 1 the first time.

        Raises
        ------
        Unavailable
            The cache bucket cannot be looked at.
        """
        name = InstanceName(message["StudyInstanceUID"], message["SeriesInstanceUID"], message["SOPInstanceUID"])
        mine = f"running {message['token']}"
        kept = self._shelf.look(name)
        if kept.whole:
            self._shelf.unmark(name)
            return Done()
        if kept.mark is not None and kept.mark.holds:
            owner = self._shelf.owner(name)
            if owner.startswith("running ") and owner != mine:
                return Done()
        if not self._shelf.mark(name, mine, kept.mark):
            return Retry(backoff(attempt))
        return self._transfer(name, attempt)

    def _transfer(self, name: InstanceName, attempt: int) -> Outcome:
        told = {"instance": log.hashed(name.instance_uid), "attempt": attempt}
        try:
            fetch_to_cache(self._client, name, self._cache, label)
        except NotFound:
            logger.info("instance is gone", extra=told)
        except ServiceError as error:
            logger.warning("instance not fetched", extra={**told, "code": error.code, **log.describe(error)})
            if attempt < _ATTEMPTS:
                return Retry(backoff(attempt))
            # Without the mark the next caller asks the PACS again, and hears what is wrong with it.
            self._shelf.unmark(name)
            return DeadLetter(error.code)
        else:
            logger.info("instance fetched", extra=told)
        self._shelf.unmark(name)
        return Done()


def _mark_key(name: InstanceName) -> str:
    return f"{name.folder}fetching"


def _being_fetched() -> Unavailable:
    detail = "The file is being fetched from the PACS; ask for it again after the time given."
    return Unavailable(detail, code="BEING_FETCHED", headers={"Retry-After": str(RETRY_AFTER)})
