"""Steps through the data elements of a DICOM dataset by their headers alone (PS3.5 §7).

Values are skipped by their length, so memory does not grow with the file, and the walk keeps its own stack instead of
recursing, so a hostile file can exhaust neither.

Every item is walked, whatever its VR and form: a PACS's parser descends into whatever it takes for a sequence, and a
recursive one crashes on deep nesting. Where neither VR nor length tells (Implicit VR, or UN of defined length, whose
value begins like an item), the walk enters on a *guess*. A value that turns out not to be a sequence counts as plain,
without an error unless it nested beyond the ceiling, and the walk continues behind it, so each byte is visited once.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

# Orthanc 1.10.1 crashes at 46 (docs/pacs.md); structured reports of real devices stay below 16.
MAX_DEPTH = 24
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_PIXEL_DATA = 0x7FE00010
# Of a wanted element, in bytes.
_LONGEST_VALUE = 1024
_DELIMITERS = frozenset({ITEM, ITEM_END, SEQUENCE_END})
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_ANY_VR = _LONG_VRS | _SHORT_VRS
# Never sequences.
_PLAIN_LONG_VRS = _LONG_VRS - {b"SQ", b"UN"}
_FRAGMENT_VRS = frozenset({b"OB", b"OW"})
# May be sequences: Implicit VR names no VR, and UN stands for any.
_UNKNOWN_VRS = frozenset({b"", b"UN"})


class NotDicom(Exception):
    """The file is not a DICOM file that can be stored; `reason` is a stable code, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Source(Protocol):
    """Bytes readable by range: a buffer, or an object in S3."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return up to `length` bytes from `offset`; fewer only at the end."""


class ObjectMissing(Exception):
    """The object behind a source, or this version of it, is not there any more."""


class StorageError(Exception):
    """A source cannot be read now; later it may."""


@dataclass
class _Frame:
    """An open sequence, item or list of pixel data fragments."""

    kind: str
    end: int | None
    explicit_outside: bool
    guess: bool = False


class ElementWalk:
    """Visits each element of a dataset once, in file order.

    Parameters
    ----------
    source
        The file.
    position
        Where the dataset starts, in bytes.
    explicit
        Whether the transfer syntax names value representations.
    big
        Whether it is big endian.
    max_depth
        How many sequences may be nested.
    data
        The bytes of the source if they are in memory: `collect` then steps over most elements several times as fast.
    """

    def __init__(
        self,
        source: Source,
        position: int,
        *,
        explicit: bool,
        big: bool,
        max_depth: int = MAX_DEPTH,
        data: bytes | None = None,
    ) -> None:
        self._source = source
        self._data = data
        self._explicit = explicit
        order = ">" if big else "<"
        self._tag, self._long, self._short = (struct.Struct(order + code) for code in ("HH", "I", "H"))
        self._explicit_header = struct.Struct(order + "HH2sH")
        self._item_tag = self._tag.pack(0xFFFE, 0xE000)
        self._max_depth = max_depth
        self._depth = 0
        self._guesses = 0
        self._open: list[_Frame] = []
        self._wanted: Mapping[int, str] = {}
        self._values: dict[str, bytes] = {}
        self._highest = -1
        self.position = position

    def collect(self, wanted: Mapping[int, str]) -> dict[str, bytes]:
        """Walk to the end of the file and return the first 1024 bytes of each wanted top-level element."""
        self._wanted = wanted
        for tag, offset, length in self.elements():
            if tag in wanted and not self._open:
                self._values[wanted[tag]] = self._source.read(offset, min(length, _LONGEST_VALUE))
        return self._values

    def elements(self, until_group: int | None = None) -> Iterator[tuple[int, int, int]]:
        """Yield tag, offset and length of each plain value, those inside sequences too.

        Parameters
        ----------
        until_group
            Stop before the first element that is not of this group, as after the file meta information.

        Raises
        ------
        NotDicom
            The file is cut off, malformed, or nested too deep.
        """
        while True:
            try:
                if self._wanted and self._data and self._explicit:
                    self._pass_plain(self._data)
                if self._open:
                    self._leave_finished()
                if not self._open and (self.position == self._source.size or self._left_group(until_group)):
                    return
                found = self._step()
            except NotDicom as error:
                if not self._guesses or error.reason == "TOO_DEEP":
                    raise
                self._give_up_guess()
                continue
            if found is not None:
                yield found

    def _step(self) -> tuple[int, int, int] | None:
        """Step over the next header, and over its value where that is plain."""
        tag, vr, length = self._header()
        inside = self._open[-1].kind if self._open else "item"
        if tag in _DELIMITERS:
            if tag == ITEM:
                self._item(inside, length)
            else:
                self._leave(tag, length)
            return None
        if inside != "item":
            raise self._malformed("There is an element outside an item")
        if not self._open:
            self._keep_order(tag)
        if length == UNDEFINED:
            self._enter_undefined(tag, vr)
            return None
        offset = self.position
        if vr == b"SQ" or (length >= 8 and vr in _UNKNOWN_VRS and self._source.read(offset, 4) == self._item_tag):
            self._enter("sequence", length, guess=vr != b"SQ")
            if vr == b"UN":
                self._explicit = self._looks_explicit(offset + 8)
            return None
        self._skip(length)
        return tag, offset, length

    def _pass_plain(self, data: bytes) -> None:
        """Step over plain elements and keep those that are wanted; the first of another kind is left to `_step`."""
        frame = self._open[-1] if self._open else None
        if frame and frame.kind != "item":
            return
        end = len(data) if frame is None or frame.end is None else min(frame.end, len(data))
        wanted = self._wanted if frame is None else {}
        position, highest = self.position, self._highest if frame is None else -1
        unpack, unpack_long = self._explicit_header.unpack_from, self._long.unpack_from
        while position + 8 <= end:
            group, element, vr, length = unpack(data, position)
            value = position + 8
            if vr not in _SHORT_VRS:
                if vr not in _PLAIN_LONG_VRS or position + 12 > end:
                    break
                (length,), value = unpack_long(data, value), position + 12
            tag = group << 16 | element
            behind = value + length
            if group == 0xFFFE or behind > end:
                break
            if tag in wanted:
                if tag <= highest:
                    break  # repeated or out of order
                self._values[wanted[tag]] = data[value : min(behind, value + _LONGEST_VALUE)]
            if tag > highest:
                highest = tag
            position = behind
        self.position = position
        if frame is None:
            self._highest = highest

    def _keep_order(self, tag: int) -> None:
        if tag in self._wanted and tag <= self._highest:
            raise NotDicom(
                "MALFORMED", f"The element ({tag >> 16:04X},{tag & 0xFFFF:04X}) is repeated or out of order."
            )
        self._highest = max(self._highest, tag)

    def _enter_undefined(self, tag: int, vr: bytes) -> None:
        if vr in _FRAGMENT_VRS:
            # Only encapsulated pixel data may have this form (PS3.5 §A.4).
            if tag != _PIXEL_DATA:
                raise self._malformed("There is a value of undefined length")
            self._enter("fragments", UNDEFINED)
        elif vr in (b"SQ", b"UN", b""):
            self._enter("sequence", UNDEFINED)
            if vr == b"UN":
                # A sequence of unknown VR and undefined length is Implicit VR inside (PS3.5 §6.2.2).
                self._explicit = False
        else:
            raise self._malformed("There is a value of undefined length")

    def _looks_explicit(self, offset: int) -> bool:
        return self._source.read(offset + 4, 2) in _ANY_VR

    def _left_group(self, group: int | None) -> bool:
        # Checked before the header is read: the dataset may be encoded differently from the file meta information.
        return group is not None and self._source.read(self.position, 2) != self._short.pack(group)

    def _header(self) -> tuple[int, bytes, int]:
        head = self._need(8)
        group, element = self._tag.unpack_from(head)
        tag = group << 16 | element
        if group == 0xFFFE or not self._explicit:
            return tag, b"", self._long.unpack_from(head, 4)[0]
        vr = head[4:6]
        if vr in _SHORT_VRS:
            return tag, vr, self._short.unpack_from(head, 6)[0]
        if vr not in _LONG_VRS:
            raise self._malformed("There is no valid data element")
        return tag, vr, self._long.unpack(self._need(4))[0]

    def _malformed(self, what: str) -> NotDicom:
        return NotDicom("MALFORMED", f"{what} near byte {self.position} of the file.")

    def _need(self, length: int) -> bytes:
        data = self._source.read(self.position, length)
        if len(data) < length:
            raise NotDicom("TRUNCATED", f"The file ends too early, after {self._source.size} bytes.")
        self.position += length
        return data

    def _skip(self, length: int) -> None:
        self.position += length
        if self.position > self._source.size:
            raise NotDicom("TRUNCATED", f"The file ends too early, after {self._source.size} bytes.")

    def _enter(self, kind: str, length: int, *, guess: bool = False) -> None:
        if kind != "item":
            if self._depth >= self._max_depth:
                raise NotDicom("TOO_DEEP", f"The file nests sequences deeper than {self._max_depth}.")
            self._depth += 1
        end = None if length == UNDEFINED else self.position + length
        self._guesses += guess
        self._open.append(_Frame(kind, end, self._explicit, guess))

    def _item(self, inside: str, length: int) -> None:
        if inside == "fragments" and length != UNDEFINED:
            self._skip(length)
        elif inside == "sequence":
            self._enter("item", length)
        else:
            raise self._malformed("There is an item outside a sequence")

    def _leave(self, tag: int, length: int) -> None:
        frame = self._open[-1] if self._open else None
        if frame is None or length or frame.end is not None or (frame.kind == "item") != (tag == ITEM_END):
            raise self._malformed("A sequence ends where none is open")
        self._close()

    def _leave_finished(self) -> None:
        while self._open and self._open[-1].end is not None and self.position >= self._open[-1].end:
            if self.position != self._open[-1].end:
                raise NotDicom("MALFORMED", f"A sequence is shorter than what is in it, at byte {self.position}.")
            self._close()

    def _close(self) -> _Frame:
        frame = self._open.pop()
        self._depth -= frame.kind != "item"
        self._guesses -= frame.guess
        self._explicit = frame.explicit_outside
        return frame

    def _give_up_guess(self) -> None:
        """Treat the innermost guess as a plain value, and continue behind it."""
        while True:
            frame = self._close()
            if frame.guess and frame.end is not None:
                break
        self.position = frame.end
        if frame.end > self._source.size and not self._guesses:
            raise NotDicom("TRUNCATED", f"The file ends too early, after {self._source.size} bytes.")
