"""What a build goes on from: kept in the cache bucket, whole or not at all, beside the ZIP that is being written."""

import io
import json
import zipfile
from dataclasses import dataclass, field, fields
from typing import Any

from dicom_service import aws

_NOT_KEPT = "The archive cannot be written at the moment; it is tried again."


@dataclass
class Checkpoint:
    """How far a build is.

    Parameters
    ----------
    upload_id, etags
        The multipart upload and its parts.
    instances
        Series and instance UIDs of the exam, in the order of the ZIP.
    next
        The first of them that is not in it.
    position, tail
        Bytes written, and those that fill no part yet.
    entries
        The entries of the ZIP.
    contents
        What DICOMDIR and page are made of.
    pictures
        JPEGs for the page, by number.
    size
        Of the finished ZIP, whose parts are all there.
    """

    upload_id: str
    instances: list[tuple[str, str]]
    etags: list[str] = field(default_factory=list)
    next: int = 0
    position: int = 0
    tail: bytes = b""
    entries: list[list[Any]] = field(default_factory=list)
    contents: dict[str, Any] = field(default_factory=dict)
    pictures: list[bytes] = field(default_factory=list)
    size: int | None = None

    def to_bytes(self) -> bytes:
        """Return it as one small ZIP."""
        buffer = io.BytesIO()
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("tail", "pictures")}
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as out:
            out.writestr("state", json.dumps(values), zipfile.ZIP_DEFLATED, 1)
            out.writestr("tail", self.tail)
            for number, picture in enumerate(self.pictures):
                out.writestr(f"picture{number}", picture)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Checkpoint":
        """Read what `to_bytes` made."""
        with zipfile.ZipFile(io.BytesIO(content)) as kept:
            values = json.loads(kept.read("state"))
            values["instances"] = [(series, instance) for series, instance in values["instances"]]
            count = len(kept.namelist()) - 2
            pictures = [kept.read(f"picture{number}") for number in range(count)]
            return cls(**values, tail=kept.read("tail"), pictures=pictures)


class Checkpoints:
    """The checkpoints of one bucket.

    Parameters
    ----------
    bucket
        The cache bucket.
    """

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket

    def load(self, key: str) -> Checkpoint | None:
        """Return what was kept last, or None."""
        try:
            with aws.errors(_NOT_KEPT):
                return Checkpoint.from_bytes(aws.s3().get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except aws.Missing:
            return None

    @aws.errors(_NOT_KEPT)
    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the one before."""
        aws.s3().put_object(Bucket=self.bucket, Key=key, Body=checkpoint.to_bytes())

    @aws.errors(_NOT_KEPT)
    def remove(self, key: str) -> None:
        """Remove it; again is harmless."""
        aws.s3().delete_object(Bucket=self.bucket, Key=key)

    def give_up(self, key: str, upload_id: str) -> None:
        """End a multipart upload that comes to nothing; what cannot be ended expires."""
        with aws.tolerated("parts of an archive are left to expire"):
            aws.s3().abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
