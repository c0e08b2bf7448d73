"""Recognizing a patient in the content of a staged file, whole or broken, alone or in a ZIP.

What lies in quarantine is there because it could not be read: so the data elements that name study and patient are
looked for in its bytes, whatever stands around them. The words of the request are looked for likewise.
"""

import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from lzma import LZMAError
from struct import error as StructError
from typing import IO, Any

from dicom_service.element_walk import NotDicom
from dicom_service.erasure.subject import Subject
from dicom_service.ingest.zip_reader import ZIP_MAGIC
from dicom_service.native_syntaxes import DEFLATED
from dicom_service.part10 import BytesSource, read_header
from dicom_service.settings import MIB
from dicomweb.uid import is_uid

# StudyInstanceUID (0020,000D) and PatientID (0010,0020), little and big endian. A lookahead, since one with a
# zero before it looks like the other.
_ELEMENTS = re.compile(rb"(?=(\x20\x00\x0d\x00|\x00\x20\x00\x0d|\x10\x00\x20\x00|\x00\x10\x00\x20))")
_STUDY = (b"\x20\x00\x0d\x00", b"\x00\x20\x00\x0d")
_LITTLE = (b"\x20\x00\x0d\x00", b"\x10\x00\x20\x00")
# The longest value of the two: 64 characters, each of up to four bytes.
_LONGEST, _OVERLAP = 256, 1024
_IN_MEMORY = 64 * MIB
# What lies in quarantine may be a ZIP bomb.
_MOST_UNPACKED = 4 * 1024 * MIB
_DEEPEST = 3
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    LZMAError,
    StructError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OSError,
)


@dataclass
class Content:
    """What was recognized in an object.

    Parameters
    ----------
    mine
        Something of the subject is in it.
    others
        An exam of somebody else is in it as well.
    unread
        It is a ZIP that could not be opened wholly.
    studies
        The studies of the files in it that are the patient's.
    """

    mine: bool = False
    others: bool = False
    unread: bool = False
    studies: set[str] = field(default_factory=set)


class Reader:
    """Looks into objects for a subject."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._words = [word.encode() for word in subject.request.texts]

    def read(self, chunks: Iterable[bytes]) -> Content:
        """Look into an object that is given in pieces."""
        content = Content()
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            for chunk in chunks:
                file.write(chunk)
            self._look(file, content, [_MOST_UNPACKED], 0)
        return content

    def _look(self, file: IO[bytes], content: Content, left: list[int], depth: int) -> None:
        file.seek(0)
        if file.read(4) in ZIP_MAGIC:
            if depth < _DEEPEST:
                self._look_into_zip(file, content, left, depth)
            else:
                content.unread = True
            return
        file.seek(0)
        found, patients, words = self._identities(file)
        studies = set(filter(is_uid, found))
        mine = words or any(map(self._subject.has, studies)) or any(map(self._subject.is_patient, patients))
        content.mine = content.mine or mine
        if mine and any(map(self._subject.is_patient, patients)):
            content.studies |= studies
        content.others = content.others or (not mine and bool(studies))

    def _look_into_zip(self, file: IO[bytes], content: Content, left: list[int], depth: int) -> None:
        try:
            archive = zipfile.ZipFile(file)
        except _DAMAGED:
            content.unread = True
            return
        with archive:
            for info in archive.infolist():
                content.mine = content.mine or self._subject.named(info.filename)
                try:
                    self._look_into_entry(archive, info, content, left, depth)
                except _DAMAGED:
                    content.unread = True

    def _look_into_entry(
        self, archive: zipfile.ZipFile, info: Any, content: Content, left: list[int], depth: int
    ) -> None:
        with archive.open(info) as packed, tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            while chunk := packed.read(MIB):
                left[0] -= len(chunk)
                if left[0] < 0:
                    content.unread = True
                    return
                file.write(chunk)
            self._look(file, content, left, depth + 1)

    def _identities(self, file: IO[bytes]) -> tuple[set[str], set[str], bool]:
        studies: set[str] = set()
        patients: set[str] = set()
        words, tail, beginning = False, b"", b""
        while chunk := file.read(4 * MIB):
            window = tail + chunk
            beginning = beginning or window[:1024]
            words = words or any(word in window for word in self._words)
            for is_study, value in _values(window):
                (studies if is_study else patients).update(_texts(value))
            tail = window[-_OVERLAP:]
        if DEFLATED.encode() in beginning:
            file.seek(0)
            try:
                # However long it takes: an error would end the whole erasure.
                header = read_header(BytesSource(file.read()), max_depth=1000, longest_wait=-1)
            except NotDicom:
                return studies, patients, words
            return studies | {header.study_instance_uid}, patients | {header.patient_id}, words
        return studies, patients, words


def _values(window: bytes) -> Iterator[tuple[bool, bytes]]:
    """Yield the values of the two elements wherever their tags stand: (whether it is the study, value)."""
    for found in _ELEMENTS.finditer(window):
        tag, start = found[1], found.end(1)
        order: Any = "little" if tag in _LITTLE else "big"
        if window[start : start + 2] in (b"UI", b"LO"):
            length, start = int.from_bytes(window[start + 2 : start + 4], order), start + 4
        else:
            length, start = int.from_bytes(window[start : start + 4], order), start + 4
        # What the window cuts off is whole in the next one.
        if 0 < length <= _LONGEST and start + length <= len(window):
            yield tag in _STUDY, window[start : start + length].strip(b" \0")


def _texts(value: bytes) -> set[str]:
    if not value:
        return set()
    decoded = {value.decode("latin-1")}
    with suppress(UnicodeDecodeError):
        decoded.add(value.decode("utf-8"))
    return decoded
