"""Small files in ZIPs, before they are uploaded."""

import zipfile
from pathlib import Path

import pytest

from scripts import pack as module
from scripts.pack import pack, unpack


def files(folder: Path, *sizes: int) -> list[Path]:
    made = []
    for number, size in enumerate(sizes):
        path = folder / str(number) / "image.dcm"
        path.parent.mkdir()
        path.write_bytes(bytes([number]) * size)
        made.append(path)
    return made


def test_small_files_are_packed_whole_and_large_ones_and_zips_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LARGEST_PACKED", 100)
    # GIVEN two small files of one name, a large one, and a ZIP
    small, large, other = files(tmp_path, 10, 101, 20)
    archive = tmp_path / "cd.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a", b"")
    # WHEN they are packed
    packed, *rest = pack([small, large, other, archive], tmp_path / "zips")
    # THEN both small ones are in it, byte by byte and not compressed, under names of their own
    assert rest == [large, archive]
    with zipfile.ZipFile(packed) as content:
        assert [entry.filename for entry in content.infolist()] == ["0001/image.dcm", "0002/image.dcm"]
        assert [content.read(entry) for entry in content.infolist()] == [small.read_bytes(), other.read_bytes()]
        assert {entry.compress_type for entry in content.infolist()} == {zipfile.ZIP_STORED}


def test_the_same_files_are_the_same_zip_and_a_changed_one_is_another(tmp_path: Path) -> None:
    given = files(tmp_path, 10, 20)
    (first,) = pack(given, tmp_path / "zips")
    before = first.read_bytes()
    first.write_bytes(b"kept")  # not written again: an upload that was interrupted goes on with it
    assert pack(given, tmp_path / "zips") == [first]
    assert first.read_bytes() == b"kept"
    first.unlink()
    assert pack(given, tmp_path / "zips")[0].read_bytes() == before
    given[0].write_bytes(b"another")
    assert pack(given, tmp_path / "zips") != [first]


def test_a_zip_has_so_many_files_and_so_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FILES_A_ZIP", 3)
    monkeypatch.setattr(module, "BYTES_A_ZIP", 50)
    zips = pack(files(tmp_path, 1, 1, 1, 1, 49, 2), tmp_path / "zips")
    counts = [len(zipfile.ZipFile(path).namelist()) for path in zips]
    assert counts == [3, 2, 1]
    unpack(tmp_path / "zips")
    assert not (tmp_path / "zips").exists()
