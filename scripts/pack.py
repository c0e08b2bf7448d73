"""Packs small files into ZIPs before they are uploaded: S3 and the tables are then asked once for hundreds of files.

The ZIPs are not compressed and always the same for the same files, so that an interrupted upload goes on with them.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

# A larger file gains nothing: it is a request among many bytes.
LARGEST_PACKED = 16 * 1024 * 1024
# One ZIP is one message: it is stored by one function, and what fails is repeated from where it stopped.
FILES_A_ZIP = 1000
BYTES_A_ZIP = 512 * 1024 * 1024
_SINCE_EVER = (1980, 1, 1, 0, 0, 0)


def pack(files: Sequence[Path], folder: Path) -> list[Path]:
    """Write ZIPs of the small files into a folder, and return what is to be uploaded: these, then the other files.

    Parameters
    ----------
    files
        What is to be uploaded, in an order that is the same each time. ZIPs stay as they are.
    folder
        Where the ZIPs are kept until the upload has ended; one that is whole already is not written again.
    """
    folder.mkdir(exist_ok=True)
    small = [path for path in files if path.stat().st_size <= LARGEST_PACKED and not zipfile.is_zipfile(path)]
    packed = [_zip(some, folder / f"{_digest(some)}.zip") for some in _cut(small)]
    chosen = set(small)
    return [*packed, *(path for path in files if path not in chosen)]


def unpack(folder: Path) -> None:
    """Remove the ZIPs."""
    shutil.rmtree(folder, ignore_errors=True)


def _cut(files: Sequence[Path]) -> Iterator[list[Path]]:
    some: list[Path] = []
    size = 0
    for path in files:
        length = path.stat().st_size
        if some and (len(some) >= FILES_A_ZIP or size + length > BYTES_A_ZIP):
            yield some
            some, size = [], 0
        some.append(path)
        size += length
    if some:
        yield some


def _digest(files: Sequence[Path]) -> str:
    """Return a name for these files as they are now: a changed one is packed anew."""
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def _zip(files: Sequence[Path], target: Path) -> Path:
    draft = target.with_suffix(".new")
    if not target.exists():
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_STORED) as archive:
            for number, path in enumerate(files, start=1):
                # The name in the report; the number keeps files of one name apart.
                info = zipfile.ZipInfo(f"{number:04d}/{path.name}", _SINCE_EVER)
                with path.open("rb") as content, archive.open(info, "w", force_zip64=True) as entry:
                    shutil.copyfileobj(content, entry, 1024 * 1024)
        draft.replace(target)
    return target
