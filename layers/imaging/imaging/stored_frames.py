"""Frames of a DICOM file as they are stored: compressed ones untouched, uncompressed ones little endian."""

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from imaging.errors import FrameNotFound
from imaging.header import frame_bytes, number, number_of_frames

if TYPE_CHECKING:
    from imaging.source import PixelSource

_EXPLICIT_LITTLE, _EXPLICIT_BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_NATIVE = frozenset({"1.2.840.10008.1.2", _EXPLICIT_LITTLE, _EXPLICIT_BIG})
LARGEST_INFLATED = 512 * 1024 * 1024


class StoredFrame(NamedTuple):
    """One frame, and the UID of its transfer syntax: Explicit VR Little Endian for any uncompressed one."""

    data: bytes
    transfer_syntax_uid: str


def swapped(data: bytes, size: int) -> bytes:
    """Return words of a size in bytes in the other byte order."""
    import numpy as np

    return np.frombuffer(data, f"u{size}").byteswap().tobytes()


class StoredFrames:
    """The frames of one file.

    Parameters
    ----------
    file
        A seekable Part 10 file at its start.

    Raises
    ------
    CannotDecode
        Not a DICOM file, or one without pixel data.
    TooLarge
        It inflates to more than is read into memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        from imaging.source import open_part10

        self._source: PixelSource = open_part10(file, max_bytes=LARGEST_INFLATED)
        self._start = self._source.stream.tell()

    @property
    def count(self) -> int:
        """How many frames there are, by NumberOfFrames (0028,0008)."""
        return number_of_frames(self._source.header)

    def read(self, frame: int) -> StoredFrame:
        """Return one frame, counted from 1.

        Raises
        ------
        FrameNotFound
            There is no such frame.
        CannotDecode
            The frames cannot be told apart.
        """
        from imaging.failures import broken_input_is_cannot_decode

        if not 1 <= frame <= self.count:
            raise FrameNotFound(f"frame {frame} of {self.count}")
        syntax = str(self._source.transfer_syntax)
        with broken_input_is_cannot_decode("reading a frame"):
            if syntax in _NATIVE:
                return StoredFrame(self._native(frame - 1, syntax), _EXPLICIT_LITTLE)
            return StoredFrame(self._encapsulated(frame - 1), syntax)

    def _encapsulated(self, index: int) -> bytes:
        from pydicom.encaps import get_frame
        from pydicom.pixels.utils import as_pixel_options

        source = self._source
        source.stream.seek(self._start)
        options = as_pixel_options(source.header, pixel_keyword=source.keyword, pixel_vr=source.vr)
        return get_frame(
            source.stream,
            index,
            extended_offsets=options.get("extended_offsets"),
            number_of_frames=self.count,
        )

    def _native(self, index: int, syntax: str) -> bytes:
        header, stream = self._source.header, self._source.stream
        bits = int(number(header, "00280100") or 8)
        if bits == 1:
            return self._bits(index)
        size = self._frame_size()
        in_words = syntax == _EXPLICIT_BIG and bits == 8 and self._source.vr == "OW"
        # A frame of an odd length ends inside a word, and the next one begins there.
        skipped = index * size % 2 if in_words else 0
        stream.seek(self._start + index * size - skipped)
        data = stream.read(skipped + size + (skipped + size) % 2 if in_words else size)
        if len(data) < skipped + size:
            raise FrameNotFound(f"frame {index + 1} is beyond the end of the file")
        if in_words:
            return swapped(data, 2)[skipped : skipped + size]
        return swapped(data, bits // 8) if syntax == _EXPLICIT_BIG and bits > 8 else data

    def _frame_size(self) -> int:
        header = self._source.header
        size = frame_bytes(header)
        subsampled = str(header.get("PhotometricInterpretation", "")).strip() in ("YBR_FULL_422", "YBR_PARTIAL_422")
        # Some writers say 4:2:2 and store every sample (PS3.3 C.7.6.3.1.2).
        if subsampled and (self._source.length is None or self._source.length < size * self.count):
            return size * 2 // 3
        return size

    def _bits(self, index: int) -> bytes:
        """Return a frame of one-bit pixels, which may begin inside a byte (PS3.5 §8.1.1), from a byte's begin on."""
        import numpy as np

        header = self._source.header
        pixels = int(number(header, "00280010") or 0) * int(number(header, "00280011") or 0)
        whole, offset = divmod(index * pixels, 8)
        self._source.stream.seek(self._start + whole)
        packed = np.frombuffer(self._source.stream.read((offset + pixels + 7) // 8), np.uint8)
        bits = np.unpackbits(packed, bitorder="little")[offset : offset + pixels]
        return np.packbits(bits, bitorder="little").tobytes()
