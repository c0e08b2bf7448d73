"""Frames for viewers (PS3.18 §10.4.1.1.6): in the transfer syntax that the caller takes, compressed where too long."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import imaging
from dicom_service.errors import BadRequest
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.native_syntaxes import NATIVE
from dicom_service.origin_server.accept import MediaRange, not_acceptable
from dicom_service.origin_server.answers import LARGEST_ANSWER, Part
from dicom_service.origin_server.frame_source import SYNTAX, FrameSource
from dicom_service.origin_server.shared_cache import VERSION, Entry
from dicom_service.origin_server.study_state import StudyState
from dicom_service.origin_server.transfer_syntaxes import (
    JPEG_LS,
    asked_of_pacs,
    label_for,
    media_type_of,
)

MOST_FRAMES = 100
# Of several frames together, counted as they are held; a frame by itself may have any size.
MOST_BYTES = 64 * 1024 * 1024
_LIST = re.compile(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*")


@dataclass(frozen=True)
class FrameAnswer:
    """The frames of an answer, and whether they are the parts of a multipart body or the one body."""

    parts: list[Part]
    is_multipart: bool


def parse_numbers(text: str) -> list[int]:
    """Return the frame numbers of a path: ``3`` or ``1,2,5``.

    Raises
    ------
    BadRequest
        It is no such list, or longer than `MOST_FRAMES`.
    """
    if not _LIST.fullmatch(text):
        raise BadRequest("Frames are numbers from 1, separated by commas.", code="INVALID_FRAMES")
    numbers = [int(number) for number in text.split(",")]
    if len(numbers) > MOST_FRAMES:
        raise BadRequest(f"At most {MOST_FRAMES} frames at once.", code="INVALID_FRAMES")
    return numbers


class Frames:
    """Chooses how frames are delivered.

    Parameters
    ----------
    source
        Returns frames as they are stored, or as the PACS transcodes them.
    """

    def __init__(self, source: FrameSource) -> None:
        self._source = source

    def get(
        self,
        state: StudyState,
        name: InstanceName,
        numbers: Sequence[int],
        ranges: Sequence[MediaRange],
        location: str,
    ) -> FrameAnswer:
        """Return frames as the caller takes them.

        Parameters
        ----------
        ranges
            What the caller accepts, the preferred first.
        location
            URL of the instance's frames, up to their numbers.

        Raises
        ------
        BadRequest
            The frames have more than `MOST_BYTES` together.
        NotFound
            There is no such instance or frame.
        NotAcceptable
            The caller takes neither what is stored nor what can be made of it.
        PacsError
            The PACS cannot be asked.
        """
        usable = [each for each in ranges if each.is_multipart or each.is_anything or len(numbers) == 1]
        entries = _each_once(numbers, lambda number: self._source.stored(state, name, number)) or []
        if sum(len(entry.body) for entry in entries) > LARGEST_ANSWER:
            entries = self._smaller(name, entries, usable)
        parts, chosen = self._parts(state, name, numbers, entries, usable)
        located = [replace(part, location=f"{location}/{number}") for part, number in zip(parts, numbers, strict=True)]
        return FrameAnswer(located, _takes_parts(chosen, [part.content_type for part in parts]))

    def _parts(
        self,
        state: StudyState,
        name: InstanceName,
        numbers: Sequence[int],
        entries: Sequence[Entry],
        ranges: Sequence[MediaRange],
    ) -> tuple[list[Part], MediaRange]:
        for weight in sorted({each.weight for each in ranges}, reverse=True):
            equal = [each for each in ranges if each.weight == weight]
            for each in equal:
                if labelled := _labelled(entries, each):
                    return labelled, each
            for each in equal:
                if made := self._converted(state, name, numbers, entries, each):
                    return made, each
        stored = sorted({entry.attributes[SYNTAX] for entry in entries})
        raise not_acceptable(f"{media_type_of(uid)}; transfer-syntax={uid}" for uid in stored)

    def _converted(
        self,
        state: StudyState,
        name: InstanceName,
        numbers: Sequence[int],
        entries: Sequence[Entry],
        each: MediaRange,
    ) -> list[Part] | None:
        wanted = asked_of_pacs(each)
        if wanted is None:
            return None
        stored = dict(zip(numbers, entries, strict=True))

        def make(number: int) -> Entry | None:
            if wanted[1] == JPEG_LS and stored[number].attributes[SYNTAX] in NATIVE:
                compressed = self._compressed(name, [stored[number]])
                return compressed[0] if compressed else None
            return self._source.transcoded(state, name, number, wanted)

        made = _each_once(numbers, make)
        return _labelled(made, each) if made else None

    def _smaller(self, name: InstanceName, entries: list[Entry], ranges: Sequence[MediaRange]) -> list[Entry]:
        """Compress frames that do not fit into an answer, if the caller takes JPEG-LS; else they stay as they are."""
        is_native = all(entry.attributes[SYNTAX] in NATIVE for entry in entries)
        labels = [(each, label_for(each, JPEG_LS)) for each in ranges]
        takes_it = any(label and (len(entries) == 1 or _takes_parts(each, [label])) for each, label in labels)
        return (is_native and takes_it and self._compressed(name, entries)) or entries

    def _compressed(self, name: InstanceName, entries: Sequence[Entry]) -> list[Entry] | None:
        header = self._source.header(name)
        try:
            return [
                Entry(imaging.compress_lossless(entry.body, header), {**entry.attributes, SYNTAX: JPEG_LS, VERSION: ""})
                for entry in entries
            ]
        except imaging.ImagingError:
            return None


def _each_once(numbers: Sequence[int], make: Callable[[int], Entry | None]) -> list[Entry] | None:
    """Return frames, each made once however often it is asked for; None where one cannot be made.

    Raises
    ------
    BadRequest
        Together they have more than `MOST_BYTES`; what is left of them is not made.
    """
    made: dict[int, Entry] = {}
    size = 0
    for number in numbers:
        if number not in made:
            one = make(number)
            if one is None:
                return None
            made[number] = one
        size += len(made[number].body)
        if size > MOST_BYTES and len(numbers) > 1:
            raise BadRequest("These frames are too long for one answer; ask for fewer at once.", code="INVALID_FRAMES")
    return [made[number] for number in numbers]


def _takes_parts(each: MediaRange, labels: Sequence[str]) -> bool:
    return all(each.takes_parts(label.partition(";")[0]) for label in labels)


def _labelled(entries: Sequence[Entry], each: MediaRange) -> list[Part] | None:
    labels = [label_for(each, entry.attributes[SYNTAX]) for entry in entries]
    named = [label for label in labels if label is not None]
    if len(named) < len(entries) or (len(named) > 1 and not _takes_parts(each, named)):
        return None
    return [
        Part(entry.body, label, version=entry.attributes.get(VERSION, ""))
        for entry, label in zip(entries, named, strict=True)
    ]
