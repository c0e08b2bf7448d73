"""Ranged requests for one version of a staged object, each answer held against what was asked for."""

from typing import TYPE_CHECKING, Any

from urllib3.exceptions import SSLError

from dicom_service import aws
from dicom_service.element_walk import ObjectMissing, StorageError
from dicom_service.uploads.staging_bucket import find_version

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from dicom_service.uploads.staged_object import StagedObject

CHUNK = 1024 * 1024
# What S3 calls a read of a version that is a delete marker.
_DELETE_MARKER = "MethodNotAllowed"


class BrokenOff(Exception):
    """The connection ended before the body did."""


class Body:
    """The bytes of one answer, from `position` to `end` of the object.

    Parameters
    ----------
    raw
        What botocore streams.
    position
        Where in the object the next byte is.
    end
        Where in the object the body ends.
    """

    def __init__(self, raw: Any, position: int, end: int) -> None:
        self._raw = raw
        self.position = position
        self.end = end

    def read(self, length: int) -> bytes:
        """Return the next bytes: at least one before `end`, at most `length`.

        Raises
        ------
        BrokenOff
            They do not come.
        """
        wanted = min(length, self.end - self.position)
        try:
            with aws.errors("The connection to S3 ended."):
                data: bytes = self._raw.read(wanted) if wanted else b""
        except (aws.AwsError, OSError, SSLError) as error:
            raise BrokenOff from error
        if wanted and not data:
            raise BrokenOff
        self.position += len(data)
        return data

    def skip_to(self, position: int) -> None:
        """Read up to `position` and drop it.

        Raises
        ------
        BrokenOff
            The connection ends before.
        """
        while self.position < position:
            self.read(min(CHUNK, position - self.position))

    def close(self) -> None:
        """Let the connection go."""
        self._raw.close()


class RangedObject:
    """One version of an object, read by ranges.

    Not every store honours a range together with a version id: some answer 200 with the whole object. Such an answer is
    taken for what it is. The store is then asked by key, bound by the ETag to the same bytes; where that is no better,
    bodies are whole from then on and what was not asked for is read and dropped.

    Parameters
    ----------
    client
        The S3 client.
    staged
        The object; reads are rejected once its ETag is another.

    Attributes
    ----------
    whole
        Whether the store was found to ignore ranges.
    """

    def __init__(self, client: "S3Client", staged: "StagedObject") -> None:
        self._client = client
        self._staged = staged
        self._by_key = False
        self.whole = False
        self.version_id = staged.version_id
        self.requests = 0

    def open(self, start: int, stop: int) -> Body:
        """Return a body that is at `start` and reaches `stop` at least.

        Raises
        ------
        ObjectMissing
            The object is gone or was replaced.
        StorageError
            S3 fails, or answers with other bytes than it was asked for.
        BrokenOff
            The connection ended on the way to `start`.
        """
        answer = self._get(start, stop)
        if self._ignored(answer, start, stop) and not self.whole:
            answer = self._another_way(answer, start, stop)
        whole = self._ignored(answer, start, stop)
        body = Body(answer["Body"], 0 if whole else start, self._staged.size if whole else stop)
        try:
            body.skip_to(start)
        except BrokenOff:
            body.close()
            raise
        return body

    def _another_way(self, answer: Any, start: int, stop: int) -> Any:
        """Ask by key; where that is no better, or the key was written again, settle for whole bodies."""
        answer["Body"].close()
        if self.version_id:
            self._by_key = True
            answer = self._get(start, stop)
            if not self._ignored(answer, start, stop):
                return answer
            answer["Body"].close()
        self.whole, self._by_key = True, False
        return self._get(start, stop)

    def _ignored(self, answer: Any, start: int, stop: int) -> bool:
        """Whether the answer is the whole object, though only a range of it was asked for.

        Raises
        ------
        StorageError
            It is neither the range nor the object.
        """
        size = self._staged.size
        told = answer.get("ContentRange")
        if told == f"bytes {start}-{stop - 1}/{size}":
            return False
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        if told is None and status == 200 and answer["ContentLength"] == size:
            return stop - start < size
        answer["Body"].close()
        raise StorageError("S3 answers with other bytes than it was asked for")

    def _get(self, start: int, stop: int) -> Any:
        where: dict[str, Any] = {"Bucket": self._staged.bucket, "Key": self._staged.key}
        if self.version_id and not self._by_key:
            where["VersionId"] = self.version_id
        self.requests += 1
        try:
            with aws.errors("The staged object cannot be read."):
                answer = self._client.get_object(
                    **where, Range=f"bytes={start}-{stop - 1}", IfMatch=f'"{self._staged.etag}"'
                )
        except aws.AwsError as error:
            return self._after(error, start, stop)
        self.version_id = self.version_id or answer.get("VersionId")
        return answer

    def _after(self, error: aws.AwsError, start: int, stop: int) -> Any:
        if not isinstance(error, aws.Missing | aws.ConditionFailed) and error.aws_code != _DELETE_MARKER:
            raise StorageError("S3 does not give the object") from error
        if self._by_key:
            # The key was written again: only the version still has these bytes.
            self._by_key, self.whole = False, True
            return self._get(start, stop)
        if not self.version_id:
            self.version_id = find_version(self._client, self._staged)
            if self.version_id:
                return self._get(start, stop)
        raise ObjectMissing("gone or replaced") from error
