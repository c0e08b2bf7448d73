"""Returns files of any size: cached, in time, or fetched in the background.

API Gateway waits 29 s; a PACS may need longer for the first byte of a large instance. Such an instance is queued for
the function `fetch_instance`. A lease in the cache bucket keeps callers from queueing it twice. Its text is:

======================  ======================================================================================
``queued <token>``      the fetch is queued; no function works on it yet
``running <token>``     a function is working on the message with this token
no lease and no file    the fetch was never queued, or it failed for good: the next caller queues it again
======================  ======================================================================================
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dicom_service import aws, log
from dicom_service.aws.sqs_worker import DeadLetter, Done, Outcome, Retry, backoff
from dicom_service.errors import NotFound, PacsError, ServiceError, Unavailable
from dicom_service.exams.instance_cache import CacheEntry, InstanceCache, InstanceName, Lease
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.exams.retrieve import PatientLabel, RetrievedFile, check_in_pacs, fetch_to_cache, retrieve_file
from dicom_service.settings import setting

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = log.get_logger()

RETRY_AFTER = 10
_ATTEMPTS = 6
# The share of a request's time for the first attempt; the rest is for searching for the instance.
_SHARE = 0.75


@dataclass(frozen=True)
class FetchSettings:
    """The queue of fetches."""

    queue_url: str = setting("FETCH_QUEUE_URL")


@dataclass(frozen=True)
class FetchQueueSettings(FetchSettings):
    """The queue of fetches with its dead-letter queue, for the function that works on it."""

    dead_letters_url: str = setting("DEAD_FETCH_QUEUE_URL")


class Retriever:
    """Returns files within a request, and queues those that take longer.

    Parameters
    ----------
    client
        The PACS.
    cache
        The cached files.
    queue_url
        The queue of fetches.
    label_of
        Returns the label of a file's patient.
    """

    def __init__(self, client: "DicomwebClient", cache: InstanceCache, queue_url: str, label_of: PatientLabel) -> None:
        self._client = client
        self._cache = cache
        self._queue_url = queue_url
        self._label_of = label_of

    def get_or_enqueue(self, name: InstanceName, scope: PatientScope) -> RetrievedFile:
        """Return an instance's file or a URL of it; otherwise queue a background fetch.

        Raises
        ------
        NotFound
            The PACS does not have the instance; a cached file is not returned then.
        ExamSuspended
            The instance is not the patient's whom the access token was issued for.
        PacsError
            The PACS cannot be reached, or its response broke off.
        Unavailable
            ``BEING_FETCHED``: the file takes longer than a request may. Or AWS does not respond.
        """
        with self._client.shared_deadline():
            scope.revalidate(self._client)
            entry = self._find(name)
            if entry.has_file:
                check_in_pacs(self._client, name, scope)
                if scope.accepts_label(self._cache.patient_label(name) if scope.limited else ""):
                    return RetrievedFile(url=self._cache.url(name))
                # The file is of another patient, who had these UIDs before.
                self._cache.remove(name)
            if entry.lease is not None and entry.lease.is_active:
                raise _being_fetched()
            try:
                with self._client.shared_deadline(_SHARE):
                    return retrieve_file(self._client, name, self._cache, scope, self._label_of)
            except PacsError as error:
                if error.status != 504:
                    raise
                # A PACS that is too slow even for this search is down, which a background fetch cannot mend.
                check_in_pacs(self._client, name, scope)
                self._enqueue(name, entry.lease)
                raise _being_fetched() from error

    def _find(self, name: InstanceName) -> CacheEntry:
        try:
            return self._cache.find(name)
        except Unavailable as error:
            # Small files need no cache bucket.
            logger.warning("file cache not readable", extra=log.describe(error))
            return CacheEntry()

    def _enqueue(self, name: InstanceName, seen: Lease | None) -> None:
        token = secrets.token_hex(8)
        if not self._cache.lease(name, f"queued {token}", seen):
            return
        message = {
            "StudyInstanceUID": name.study_uid,
            "SeriesInstanceUID": name.series_uid,
            "SOPInstanceUID": name.instance_uid,
            "token": token,
        }
        try:
            with aws.errors("The file cannot be fetched at the moment; try again."):
                aws.sqs().send_message(QueueUrl=self._queue_url, MessageBody=json.dumps(message))
        except aws.AwsError:
            self._cache.release(name)
            raise


class Fetcher:
    """Fetches queued instances into the cache bucket.

    Parameters
    ----------
    client
        The PACS, with the time of a whole function.
    cache
        The cached files.
    label_of
        Returns the label of a file's patient.
    """

    def __init__(self, client: "DicomwebClient", cache: InstanceCache, label_of: PatientLabel) -> None:
        self._client = client
        self._cache = cache
        self._label_of = label_of

    def fetch(self, message: Mapping[str, Any], attempt: int) -> Outcome:
        """Fetch the instance of a message, unless it is cached or another function is fetching it.

        Parameters
        ----------
        message
            Body of the queue message.
        attempt
            How often the message has been received, 1 the first time.
        """
        name = InstanceName(message["StudyInstanceUID"], message["SeriesInstanceUID"], message["SOPInstanceUID"])
        own = f"running {message['token']}"
        entry = self._cache.find(name)
        if entry.has_file:
            self._cache.release(name)
            return Done()
        if entry.lease is not None and entry.lease.is_active:
            holder = self._cache.lease_text(name)
            if holder.startswith("running ") and holder != own:
                return Done()
        if not self._cache.lease(name, own, entry.lease):
            return Retry(backoff(attempt))
        return self._transfer(name, attempt)

    def _transfer(self, name: InstanceName, attempt: int) -> Outcome:
        fields = {"instance": log.hashed(name.instance_uid), "attempt": attempt}
        try:
            fetch_to_cache(self._client, name, self._cache, self._label_of)
        except NotFound:
            logger.info("instance is gone", extra=fields)
        except ServiceError as error:
            logger.warning("instance not fetched", extra={**fields, "code": error.code, **log.describe(error)})
            if attempt < _ATTEMPTS:
                return Retry(backoff(attempt))
            # Without the lease the next caller asks the PACS again, and gets its error.
            self._cache.release(name)
            return DeadLetter(error.code)
        else:
            logger.info("instance fetched", extra=fields)
        self._cache.release(name)
        return Done()


def _being_fetched() -> Unavailable:
    detail = "The file is being fetched from the PACS; ask for it again after the time given."
    return Unavailable(detail, code="BEING_FETCHED", headers={"Retry-After": str(RETRY_AFTER)})
