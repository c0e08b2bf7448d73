"""Instances for viewers (PS3.18 §10.4.1.1.1): the file in the transfer syntax that the caller takes, of any length."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import imaging
from dicom_service import log
from dicom_service.exams.background_fetch import Retriever
from dicom_service.exams.instance_cache import InstanceCache, InstanceName
from dicom_service.exams.patient_scope import PatientScope
from dicom_service.native_syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, NATIVE
from dicom_service.origin_server.accept import ANY, DICOM, MediaRange, not_acceptable
from dicom_service.origin_server.answers import LARGEST_ANSWER, Part, multipart_frame
from dicom_service.origin_server.transfer_syntaxes import JPEG_LS
from dicom_service.pacs_errors import pacs_errors
from dicomweb.errors import NotFound, NotSupported, PacsFault, RequestRejected

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient

logger = log.get_logger()

# A file is compressed or transcoded in memory only up to this length.
LARGEST_CONVERTED = 64 * 1024 * 1024
# TransferSyntaxUID (0002,0010) of the file meta information, which comes first and is Explicit VR Little Endian.
_SYNTAX_ELEMENT = b"\x02\x00\x10\x00UI"
_BEGINNING = 16 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class InstanceAnswer:
    """A file as a part or as the body, or the URL of an object in the bucket that is the whole body."""

    part: Part | None
    is_multipart: bool
    url: str | None = None


class Instances:
    """Returns files.

    Parameters
    ----------
    client
        The PACS.
    retriever
        Fetches files of any length, in the background where a request is too short for it.
    cache
        Where the retriever puts long files.
    """

    def __init__(self, client: "DicomwebClient", retriever: Retriever, cache: InstanceCache) -> None:
        self._client = client
        self._retriever = retriever
        self._cache = cache

    def get(
        self, name: InstanceName, ranges: Sequence[MediaRange], scope: PatientScope, location: str
    ) -> InstanceAnswer:
        """Return a file.

        Parameters
        ----------
        ranges
            What the caller accepts, the preferred first.
        scope
            Compares the patient of the file before any of it is returned.
        location
            URL of the instance.

        Raises
        ------
        NotFound
            There is no such instance.
        NotAcceptable
            The caller takes no DICOM files, or none in the transfer syntax of this one, and the PACS does not
            transcode it.
        ExamSuspended
            The file is not the patient's whom the caller's token was issued for.
        PacsError
            The PACS cannot be asked.
        Unavailable
            ``BEING_FETCHED``: the file takes longer than a request may.
        """
        usable = [each for each in ranges if each.covers(DICOM, ANY)]
        if not usable:
            raise not_acceptable((DICOM, f'multipart/related; type="{DICOM}"'))
        file = self._retriever.get_or_enqueue(name, scope)
        if file.content is not None:
            length, pieces = len(file.content), iter((file.content,))
        else:
            length, pieces = self._cache.open(name)
        first = next(pieces, b"")
        stored = syntax_of_file(first)
        chosen = next((each for each in usable if _takes(each, stored)), None)
        if chosen is None:
            return self._transcoded(name, usable, stored, scope, location)
        pieces = chain((first,), pieces)
        is_multipart = chosen.takes_parts(DICOM)
        if length <= LARGEST_CONVERTED:
            content, syntax = b"".join(pieces), stored
            if length > LARGEST_ANSWER and stored in NATIVE and any(_takes(each, JPEG_LS) for each in usable):
                content, syntax = _compressed(content) or (content, stored)
            if len(content) <= LARGEST_ANSWER or file.url is None:
                return InstanceAnswer(_part(content, syntax, location), is_multipart)
            pieces = iter((content,)) if syntax == stored else self._cache.open(name)[1]
        if not is_multipart:
            return InstanceAnswer(None, False, file.url)
        # The object in the bucket is the file; a client that takes multipart bodies reads nothing else.
        framed = multipart_frame(_part(b"", stored, location), length)
        return InstanceAnswer(None, True, self._cache.store_framed(name, pieces, framed))

    def _transcoded(
        self, name: InstanceName, ranges: Sequence[MediaRange], stored: str, scope: PatientScope, location: str
    ) -> InstanceAnswer:
        """Ask the PACS for the file in a transfer syntax that the caller takes."""
        for each in ranges:
            wanted = each.transfer_syntax or EXPLICIT_LITTLE
            if not each.covers(DICOM, wanted):
                continue
            content = self._asked(name, wanted)
            # Some PACS ignore what is asked for.
            if content is not None and syntax_of_file(content) == wanted:
                scope.check_file(content)
                return InstanceAnswer(_part(content, wanted, location), each.is_multipart)
        raise not_acceptable((f"{DICOM}; transfer-syntax={stored}",))

    def _asked(self, name: InstanceName, wanted: str) -> bytes | None:
        with pacs_errors():
            try:
                with self._client.retrieve_instance(*name.uids, transfer_syntax=wanted) as stream:
                    content = bytearray()
                    for piece in stream.iter_bytes(_CHUNK):
                        content += piece
                        if len(content) > LARGEST_CONVERTED:
                            return None
                    return bytes(content)
            except (NotFound, NotSupported, PacsFault, RequestRejected) as error:
                fields = {"instance": log.hashed(name.instance_uid), **log.describe(error)}
                logger.info("instance not transcoded", extra=fields)
                return None


def syntax_of_file(beginning: bytes) -> str:
    """Return the UID of a file's transfer syntax by its first bytes, Implicit VR Little Endian where it names none."""
    at = beginning.find(_SYNTAX_ELEMENT, 0, _BEGINNING)
    if at < 0:
        return IMPLICIT_LITTLE
    start = at + len(_SYNTAX_ELEMENT) + 2
    length = int.from_bytes(beginning[start - 2 : start], "little")
    return beginning[start : start + length].decode("latin-1").strip(" \0")


def _takes(each: MediaRange, transfer_syntax: str) -> bool:
    """Return whether a range takes a file; without a transfer syntax it takes any that is not compressed."""
    if not each.covers(DICOM, transfer_syntax):
        return False
    if each.is_anything or each.transfer_syntax == ANY:
        return True
    if each.transfer_syntax is None:
        return transfer_syntax in NATIVE
    return each.transfer_syntax == transfer_syntax


def _part(content: bytes, transfer_syntax: str, location: str) -> Part:
    return Part(content, f"{DICOM}; transfer-syntax={transfer_syntax}", location)


def _compressed(content: bytes) -> tuple[bytes, str] | None:
    try:
        return imaging.compress_file(content), JPEG_LS
    except imaging.ImagingError as error:
        logger.info("file not compressed", extra=log.describe(error))
        return None
