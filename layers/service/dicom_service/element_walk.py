"""Steps through the data elements of a DICOM dataset by their headers alone (PS3.5 §7).

Values are skipped by their length, so memory does not grow with the file, and the walk keeps its own stack instead of
recursing, so a hostile file can exhaust neither.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

MAX_DEPTH = 64
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_FRAGMENT_VRS = frozenset({b"OB", b"OW"})
# What may be a sequence all the same: Implicit VR names none, and UN stands for any.
_UNTOLD_VRS = frozenset({b"", b"UN"})


class NotDicom(Exception):
    """The file is not a DICOM file that can be stored; `reason` is a stable code, `detail` a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Source(Protocol):
    """Bytes that can be read by range: a buffer, or an object in S3."""

    @property
    def size(self) -> int:
        """Length in bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Give up to `length` bytes from `offset`; fewer only at the end."""


@dataclass
class _Frame:
    """A sequence, an item or the fragments of pixel data that the walk is inside of."""

    kind: str
    end: int | None
    explicit_outside: bool


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
    """

    def __init__(self, source: Source, position: int, *, explicit: bool, big: bool) -> None:
        self._source = source
        self._explicit = explicit
        order = ">" if big else "<"
        self._tag, self._long, self._short = (struct.Struct(order + code) for code in ("HH", "I", "H"))
        self._open: list[_Frame] = []
        self.position = position

    def collect(self, wanted: Mapping[int, str]) -> dict[str, bytes]:
        """Walk to the end of the file and give the first 1024 bytes of each wanted top-level element.

        Raises
        ------
        NotDicom
            The file is cut off, malformed, or nested deeper than 64.
        """
        values: dict[str, bytes] = {}
        for tag, offset, length in self.elements():
            if tag in wanted and not self._open:
                values[wanted[tag]] = self._source.read(offset, min(length, 1024))
        return values

    def elements(self, until_group: int | None = None) -> Iterator[tuple[int, int, int]]:
        """Yield tag, offset and length of each plain value, those inside sequences too.

        Parameters
        ----------
        until_group
            Stop before the first element that is not of this group, as after the file meta information.

        Raises
        ------
        NotDicom
            The file is cut off, malformed, or nested deeper than 64.
        """
        while True:
            if self._open:
                self._leave_finished()
            if not self._open and (self.position == self._source.size or self._left_group(until_group)):
                return
            tag, vr, length = self._header()
            if tag in (ITEM_END, SEQUENCE_END):
                self._leave(tag)
            elif tag == ITEM:
                self._item(length)
            elif vr == b"SQ" or length == UNDEFINED:
                self._enter("fragments" if vr in _FRAGMENT_VRS else "sequence", length, implicit=vr == b"UN")
            else:
                if length >= 16 and vr in _UNTOLD_VRS:
                    self._probe_depth(length)
                yield tag, self.position, length
                self._skip(length)

    def _left_group(self, group: int | None) -> bool:
        # Asked before the header is read: what follows the file meta information may be encoded in another way.
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
            raise NotDicom("MALFORMED", f"There is no valid data element at byte {self.position - 8} of the file.")
        return tag, vr, self._long.unpack(self._need(4))[0]

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

    def _enter(self, kind: str, length: int, *, implicit: bool = False) -> None:
        if len(self._open) >= 2 * MAX_DEPTH:
            raise NotDicom("TOO_DEEP", f"The file nests sequences deeper than {MAX_DEPTH}.")
        end = None if length == UNDEFINED else self.position + length
        self._open.append(_Frame(kind, end, self._explicit))
        if implicit:
            # A sequence of unknown VR and undefined length is Implicit VR inside (PS3.5 §6.2.2).
            self._explicit = False

    def _item(self, length: int) -> None:
        inside = self._open[-1].kind if self._open else ""
        if inside == "fragments" and length != UNDEFINED:
            self._skip(length)
        elif inside == "sequence":
            self._enter("item", length)
        else:
            raise NotDicom("MALFORMED", f"There is an item outside a sequence at byte {self.position - 8} of the file.")

    def _leave(self, tag: int) -> None:
        frame = self._open.pop() if self._open else None
        fits = frame and frame.end is None and (frame.kind == "item") == (tag == ITEM_END)
        if frame is None or not fits:
            raise NotDicom("MALFORMED", f"A sequence ends where none is open at byte {self.position - 8} of the file.")
        self._explicit = frame.explicit_outside

    def _leave_finished(self) -> None:
        while self._open and self._open[-1].end is not None and self.position >= self._open[-1].end:
            frame = self._open.pop()
            if self.position != frame.end:
                raise NotDicom("MALFORMED", f"A sequence is shorter than what is in it, at byte {self.position}.")
            self._explicit = frame.explicit_outside

    def _probe_depth(self, length: int) -> None:
        """Follow the first items of what may be a sequence of defined length, where the VR does not tell."""
        offset, end = self.position, self.position + length
        for _ in range(2 * MAX_DEPTH):
            if end - offset < 16 or self._source.read(offset, 4) != b"\xfe\xff\x00\xe0":
                return
            # Over the item's header and the header of the first element in it.
            offset += 16
        raise NotDicom("TOO_DEEP", f"The file nests sequences deeper than {MAX_DEPTH}.")
