"""A staged object as bytes: ranged reads for its header, one stream for its body, both bound to one version."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service.uploads.settings import MIB
from dicom_service.uploads.staged import Staged

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The first read brings a whole CT slice: a small file costs one request.
FIRST_BLOCK = MIB
_NEXT_BLOCK = 64 * 1024
_LARGEST_BLOCK = 8 * MIB
_KEPT_BLOCKS = 2
CHUNK = MIB
_RESUMES = 4
_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound", "MethodNotAllowed"})
_CHANGED = frozenset({"PreconditionFailed", "412"})


class ObjectMissing(Exception):
    """The staged object, or this version of it, is not there any more."""


class StagingTrouble(Exception):
    """S3 does not answer as it should; later it may."""


class S3Source:
    """Reads one version of a staged object (a `dicom_service.part10.Source`).

    Blocks that were read stay for as long as they may be needed, and grow while the reader goes straight on, so that a
    header costs one or two requests and a file of many fragments not one for each.

    Parameters
    ----------
    client
        The S3 client.
    staged
        The object; reads are refused once its ETag is another.
    """

    def __init__(self, client: "S3Client", staged: Staged) -> None:
        self._client = client
        self._staged = staged
        self._version = staged.version_id
        self._blocks: list[tuple[int, bytes]] = []
        self._next_size = FIRST_BLOCK
        self.requests = 0

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._staged.size

    @property
    def version_id(self) -> str | None:
        """The version that the reads are bound to, once something was read."""
        return self._version

    def whole(self) -> bytes | None:
        """Give the whole object if it is in memory already."""
        for start, block in self._blocks:
            if start == 0 and len(block) == self.size:
                return block
        return None

    def forget(self) -> None:
        """Drop the blocks that are kept."""
        self._blocks.clear()

    def read(self, offset: int, length: int) -> bytes:
        """Give up to `length` bytes from `offset`; fewer only at the end.

        Raises
        ------
        ObjectMissing
            The object is gone or was replaced.
        StagingTrouble
            S3 fails.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        for start, block in self._blocks:
            if start <= offset and end <= start + len(block):
                return block[offset - start : end - start]
        # The first block is the object's beginning, so that a small object is whole from then on.
        start = 0 if not self._blocks and end <= FIRST_BLOCK else offset
        block = self._fetch(start, max(end - start, self._block_size(start)))
        self._blocks = [*self._blocks[-(_KEPT_BLOCKS - 1) :], (start, block)]
        return block[offset - start : end - start]

    def _block_size(self, offset: int) -> int:
        if not self._blocks:
            return self._next_size
        start, block = self._blocks[-1]
        straight_on = 0 <= offset - (start + len(block)) <= len(block)
        self._next_size = min(self._next_size * 2, _LARGEST_BLOCK) if straight_on else _NEXT_BLOCK
        return self._next_size

    def _fetch(self, offset: int, length: int) -> bytes:
        out = bytearray()
        for chunk in self.stream(offset, min(offset + length, self.size)):
            out += chunk
        return bytes(out)

    def stream(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` to `end` in pieces of 1 MiB, going on where a connection broke.

        Raises
        ------
        ObjectMissing
            The object is gone or was replaced.
        StagingTrouble
            S3 fails again and again.
        """
        stop = self.size if end is None else end
        resumes = 0
        while start < stop:
            body = self._get(start, stop)
            try:
                while chunk := body.read(CHUNK):
                    start += len(chunk)
                    yield chunk
            except (BotoCoreError, OSError) as error:
                resumes += 1
                if resumes > _RESUMES:
                    raise StagingTrouble("S3 breaks off") from error
                continue
            finally:
                body.close()
            if start < stop:
                raise StagingTrouble("S3 sent less than it has")

    def _get(self, start: int, stop: int) -> Any:
        where: dict[str, Any] = {"Bucket": self._staged.bucket, "Key": self._staged.key}
        if self._version:
            where["VersionId"] = self._version
        self.requests += 1
        try:
            answer = self._client.get_object(
                **where, Range=f"bytes={start}-{stop - 1}", IfMatch=f'"{self._staged.etag}"'
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _CHANGED | _GONE and not self._version:
                self._version = find_version(self._client, self._staged)
                if self._version:
                    return self._get(start, stop)
            if code in _GONE or code in _CHANGED:
                raise ObjectMissing("gone or replaced") from error
            raise StagingTrouble("S3 refuses") from error
        except BotoCoreError as error:
            raise StagingTrouble("S3 cannot be reached") from error
        self._version = self._version or answer.get("VersionId")
        return answer["Body"]


def find_version(client: "S3Client", staged: Staged) -> str | None:
    """Find the version that has the object's ETag, where its event did not name it and the key was written again.

    Raises
    ------
    StagingTrouble
        S3 fails.
    """
    try:
        listing = client.list_object_versions(Bucket=staged.bucket, Prefix=staged.key)
    except (BotoCoreError, ClientError) as error:
        raise StagingTrouble("S3 cannot be asked") from error
    for version in listing.get("Versions", []):
        if version["Key"] == staged.key and version["ETag"].strip('"') == staged.etag:
            return version["VersionId"]
    return None
