"""Worklist files (.wl) for servers that read them from a folder, as Orthanc's worklist plugin and wlmscpfs do.

The file of a study is written or removed by the current row of the Workitems table, not by the stream record, so
records that arrive late or twice end in the same files.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from dicom_service import aws, log
from dicom_service.errors import ServiceError, SettingsError, Unavailable
from dicom_service.isolation import isolate
from dicom_service.settings import setting
from dicom_service.worklist.store import KEY, Row, WorkitemStore
from dicomweb.uid import check_uid
from dicomweb.worklist.attributes import STATE_TAG
from dicomweb.worklist.base import FINAL_STATES, Workitem
from dicomweb.worklist.dicom_json import to_mwl

logger = log.get_logger()

_NOT_WRITABLE = "The bucket of the worklist files cannot be written."
_MWL_FIND = "1.2.840.10008.5.1.4.31"
"""Modality Worklist Information Model - FIND."""


@dataclass(frozen=True)
class FileSettings:
    """Where the files go.

    Parameters
    ----------
    target
        ``s3://bucket/prefix`` or the path of a folder, for example on EFS.
    """

    target: str = setting("WORKLIST_FILES")


class Target(Protocol):
    """A place for files; each method raises Unavailable where it cannot be written."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""

    def remove(self, name: str) -> None:
        """Remove a file; harmless when it does not exist."""


class Folder:
    """A folder of the file system."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def write(self, name: str, content: bytes) -> None:
        """Write a file under another name and rename it: a query may read the folder at any moment."""
        unfinished = self._path / f".{name}.part"
        try:
            unfinished.write_bytes(content)
            unfinished.replace(self._path / name)
        except OSError as error:
            raise Unavailable("The folder of the worklist files cannot be written.") from error

    def remove(self, name: str) -> None:
        """Remove a file; harmless when it does not exist."""
        try:
            (self._path / name).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable("The folder of the worklist files cannot be written.") from error


class Bucket:
    """A prefix of an S3 bucket."""

    def __init__(self, url: str) -> None:
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix else ""

    @aws.errors(_NOT_WRITABLE)
    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        aws.s3().put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    @aws.errors(_NOT_WRITABLE)
    def remove(self, name: str) -> None:
        """Delete an object; harmless when it does not exist."""
        aws.s3().delete_object(Bucket=self._bucket, Key=self._prefix + name)


class WorklistFiles:
    """Keeps one file for each workitem that has not ended.

    Parameters
    ----------
    store
        The Workitems table.
    target
        Where the files go.
    """

    def __init__(self, store: WorkitemStore, target: Target) -> None:
        self._store = store
        self._target = target

    def follow(self, records: Iterable[Mapping[str, Any]]) -> str | None:
        """Update the files of some stream records.

        Returns
        -------
        str or None
            The sequence number of the first record that failed, from which the stream must send again. The files of
            the records behind it are updated nevertheless.
        """
        failed = None
        for record in records:
            try:
                isolate(partial(self._follow_one, record))
            except ServiceError as error:
                logger.error("worklist file not written", extra={"code": error.code, **log.describe(error)})
                failed = failed or str(record["dynamodb"]["SequenceNumber"])
        return failed

    def _follow_one(self, record: Mapping[str, Any]) -> None:
        self.refresh(str(aws.from_item(record["dynamodb"]["Keys"])[KEY]))

    def refresh(self, study_instance_uid: str) -> None:
        """Write or remove the file of a study, by its current row."""
        name = f"{check_uid(study_instance_uid)}.wl"
        row = self._store.read(study_instance_uid)
        if row is not None and _is_open(row):
            self._target.write(name, to_file(row.item))
        else:
            self._target.remove(name)


def open_target(target: str) -> Target:
    """Return the place of the files that the settings name.

    Raises
    ------
    SettingsError
        It is neither an S3 URL nor an existing folder.
    """
    if target.startswith("s3://"):
        return Bucket(target)
    if not Path(target).is_dir():
        raise SettingsError("The setting WORKLIST_FILES names no folder and no s3:// URL.")
    return Folder(target)


def to_file(item: Workitem) -> bytes:
    """Return a workitem as a file with a Modality Worklist dataset (PS3.4 K.6.1.2.2), Explicit VR Little Endian."""
    from pydicom import Dataset, FileMetaDataset, dcmwrite
    from pydicom.uid import UID, ExplicitVRLittleEndian

    mwl = to_mwl(item)
    del mwl[STATE_TAG]
    dataset = Dataset.from_json(mwl)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = UID(_MWL_FIND)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(item.workitem_uid)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def _is_open(row: Row) -> bool:
    return row.listed and not row.deleted and row.item.state not in FINAL_STATES
