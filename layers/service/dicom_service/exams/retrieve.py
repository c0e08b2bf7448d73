"""Retrieves instances from the PACS unchanged: into the answer when they fit, otherwise into the cache bucket."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from dicom_service.errors import NotFound
from dicom_service.exams.instance_cache import InstanceCache, InstanceName
from dicom_service.exams.patient_scope import COMPARED_FIELDS, PatientScope
from dicom_service.pacs_errors import pacs_errors

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

# Lambda answers with 6 MB at most, and base64 makes four bytes of three.
LARGEST_ANSWER = 4_500_000
_PART = 8 * 1024 * 1024
# Returns the label of a file's patient from the file's first bytes.
PatientLabel = Callable[[bytes], str]
NO_INSTANCE = "The PACS has no such instance in this series."


@dataclass(frozen=True)
class RetrievedFile:
    """A file: its content, or a URL that opens it."""

    content: bytes | None = None
    url: str | None = None


def retrieve_file(
    client: "DicomwebClient", name: InstanceName, cache: InstanceCache, scope: PatientScope, label_of: PatientLabel
) -> RetrievedFile:
    """Return an instance as a file or, when it does not fit the answer, as a URL of the cached file.

    Memory holds two parts of 8 MB, whatever the instance's size.

    Parameters
    ----------
    scope
        Checks the file's patient before any of the file is returned.
    label_of
        Returns the label to store with the file.
    """
    with pacs_errors(NO_INSTANCE), client.retrieve_instance(*name.uids) as stream:
        parts = stream.iter_bytes(_PART)
        first = next(parts, b"")
        scope.check_file(first)
        # Only the last part is shorter than the others, so a short first one is the whole file.
        if len(first) <= LARGEST_ANSWER:
            return RetrievedFile(first)
        label, parts = label_of(first), chain(iter((first,)), parts)
        del first  # or it would stay in memory until the last part is sent, as in a tuple given to chain
        cache.store(name, parts, label)
    return RetrievedFile(url=cache.url(name))


def fetch_to_cache(client: "DicomwebClient", name: InstanceName, cache: InstanceCache, label_of: PatientLabel) -> None:
    """Retrieve an instance into the cache bucket, whatever its size; memory as in `retrieve_file`."""
    with pacs_errors(NO_INSTANCE), client.retrieve_instance(*name.uids) as stream:
        parts: Iterator[bytes] = stream.iter_bytes(_PART)
        first = next(parts, b"")
        label, parts = label_of(first), chain(iter((first,)), parts)
        del first
        cache.store(name, parts, label)


def check_in_pacs(client: "DicomwebClient", name: InstanceName, scope: PatientScope) -> None:
    """Check by a search, which is cheap for any size, that the PACS has an instance and it is in scope.

    Raises
    ------
    NotFound
        The PACS does not have it.
    """
    study, series, instance = name.uids
    with pacs_errors(NO_INSTANCE):
        found = client.search_for_instances(
            study, series, {"SOPInstanceUID": instance}, limit=1, includefields=COMPARED_FIELDS
        ).datasets
    if not found:
        raise NotFound(NO_INSTANCE)
    scope.check_rows(found)
