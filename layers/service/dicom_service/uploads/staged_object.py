"""Staged objects, as the "Object Created" events of S3 name them."""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import Literal

# Where clients put files, and devices and scripts.
UPLOADS_PREFIX = "uploads/"
DROP_PREFIX = "drop/"
_ANNOUNCED = re.compile(rf"{UPLOADS_PREFIX}([0-9a-f]{{32}})/([0-9]{{4}})")
# Bytes of a key; versions and entity tags are shorter.
_LONGEST = 1024


class NotAnEvent(Exception):
    """The message is no "Object Created" event of the staging bucket."""


@dataclass(frozen=True)
class StagedObject:
    """One version of one object in the staging bucket.

    Parameters
    ----------
    bucket, key
        Where it is.
    etag
        Entity tag without quotes: tells versions of a key apart where the event names none.
    size
        Bytes.
    version_id
        The bucket's version; None where the event does not name it.
    """

    bucket: str
    key: str
    etag: str
    size: int
    version_id: str | None = None

    @property
    def source(self) -> Literal["upload", "drop"]:
        """How it came."""
        return "upload" if self.key.startswith(UPLOADS_PREFIX) else "drop"

    @property
    def session(self) -> str | None:
        """Return the upload that it belongs to; None where it was dropped, or put where no upload puts anything."""
        announced = _ANNOUNCED.fullmatch(self.key)
        return announced[1] if announced else None

    @property
    def tracked(self) -> tuple[str, str]:
        """Return its key in the Uploads table: (uploadId, file).

        A dropped object has no upload: its key, hashed since a name may be a patient's, and its version stand in.
        """
        announced = _ANNOUNCED.fullmatch(self.key)
        if announced:
            return announced[1], announced[2]
        return f"{self.source}-{self._digest}", self.version_id or self.etag

    @property
    def names(self) -> set[tuple[str, str]]:
        """Return `tracked` as it is for events that name the version, and for those that do not."""
        return {self.tracked, replace(self, version_id=None).tracked}

    @property
    def filed(self) -> str:
        """Return where its report and its copy in quarantine lie.

        Keys are seen in listings and logs, so no name is in them: ``drop/`` and the SHA-256 of the key, which the
        sender can compute, or ``uploads/`` and the ids.
        """
        if self.session:
            return self.key
        return f"{DROP_PREFIX if self.source == 'drop' else UPLOADS_PREFIX}{self._digest}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.key.encode()).hexdigest()

    @property
    def ignored(self) -> bool:
        """Whether this is a folder's marker, which some tools make, and not a file."""
        return self.size == 0 and self.key.endswith("/")


def parse_event(body: str) -> StagedObject:
    """Read an EventBridge "Object Created" event of S3.

    Raises
    ------
    NotAnEvent
        It is none, or of an object outside the two prefixes.
    """
    try:
        detail = json.loads(body)["detail"]
        staged = StagedObject(
            bucket=detail["bucket"]["name"],
            key=detail["object"]["key"],
            etag=detail["object"]["etag"].strip('"'),
            size=int(detail["object"].get("size", 0)),
            version_id=detail["object"].get("version-id"),
        )
        for name in (
            staged.bucket,
            staged.key,
            staged.etag,
            *([] if staged.version_id is None else [staged.version_id]),
        ):
            # It is part of the key of a table's item: an odd one would fail the batch that it comes with.
            if not 0 < len(name.encode()) <= _LONGEST:
                raise NotAnEvent("a name that no object has")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise NotAnEvent("not an event of S3") from error
    if not staged.key.startswith((UPLOADS_PREFIX, DROP_PREFIX)):
        raise NotAnEvent("an object outside the staging prefixes")
    return staged


def event_of(staged: StagedObject) -> str:
    """Return the message that S3 would have had sent for an object."""
    named = {"key": staged.key, "etag": staged.etag, "size": staged.size}
    if staged.version_id is not None:
        named["version-id"] = staged.version_id
    return json.dumps({"source": "dicom-service", "detail": {"bucket": {"name": staged.bucket}, "object": named}})


def staging_key(upload_id: str, file_id: str) -> str:
    """Return the key under which a file of an upload is staged."""
    return f"{UPLOADS_PREFIX}{upload_id}/{file_id}"
