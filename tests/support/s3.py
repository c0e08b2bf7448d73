"""S3 as it is not: clients that ignore ranges, lie about them, break off, and count what they give."""

import io
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ReadTimeoutError


class Counted:
    """A body that counts what was read of it, and may break off."""

    def __init__(self, raw: Any, s3: "FaultyS3") -> None:
        self._raw, self._s3, self._left = raw, s3, s3.after

    def read(self, size: int) -> bytes:
        if self._s3.breaks:
            if self._left <= 0:
                self._s3.breaks -= 1
                raise self._s3.error
            size = min(size, self._left)
        data: bytes = self._raw.read(size)
        self._s3.bytes_read += len(data)
        self._left -= len(data)
        return data

    def close(self) -> None:
        self._s3.open_bodies -= 1
        self._raw.close()


@dataclass
class FaultyS3:
    """An S3 client of which only `get_object` is other than it should be.

    Parameters
    ----------
    client
        The one that works.
    ignores
        Ranges are ignored: ``version`` where a version is named, as the local emulator does, ``always`` everywhere.
    breaks, after, error
        So many answers are still to break off, each after so many bytes with this error.
    lies
        How the Content-Range is changed before it is told: (what, by what).
    """

    client: Any
    ignores: str = ""
    breaks: int = 0
    after: int = 0
    error: Exception = field(default_factory=lambda: ReadTimeoutError(endpoint_url="s3"))
    lies: tuple[str, str] | None = None
    requests: int = 0
    ignored: int = 0
    bytes_read: int = 0
    open_bodies: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def get_object(self, **arguments: Any) -> Any:
        self.requests += 1
        self.asked.append(arguments)
        if self.ignores == "always" or (self.ignores == "version" and "VersionId" in arguments):
            self.ignored += 1
            arguments = {name: value for name, value in arguments.items() if name != "Range"}
        answer = self.client.get_object(**arguments)
        if self.lies and "ContentRange" in answer:
            answer["ContentRange"] = answer["ContentRange"].replace(*self.lies)
        self.open_bodies += 1
        content = io.BytesIO(answer["Body"].read())
        answer["Body"] = Counted(content, self)
        return answer
