"""Digests of files in the upload engine: one after another in the same memory, and several at once."""

import hashlib
import json
import subprocess
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable

from web.engine import FOLDER

HEAD = 65_536
# The last of them are read where larger ones were.
SIZES = [0, 1, 70_000, 520_000, 9_000_000, 300, 70_000]


def said_by(script: str) -> Any:
    """Run a script in the Node that Playwright brings; return what it writes."""
    module = f"const digest = await import({json.dumps((FOLDER / 'digest.js').as_uri())});\n{script}"
    command = [compute_driver_executable()[0], "--input-type=module", "--no-warnings"]
    done = subprocess.run(command, input=module, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def content(size: int) -> bytes:
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


_FILES = """
const content = (size) => new Uint8Array(size).map((_, at) => at % 251);
const file = (size) => new File([content(size)], "x", { lastModified: 5 });
"""


def test_they_are_of_the_bytes_and_of_path_size_and_date_with_the_first_bytes() -> None:
    found = said_by(
        f"{_FILES} const found = [];\n"
        f"for (const size of {SIZES}) {{\n"
        '  found.push([await digest.sha256(file(size)), await digest.fingerprint(file(size), "cd/é")]);\n'
        "}\n"
        "console.log(JSON.stringify(found));"
    )
    assert found == [
        [
            hashlib.sha256(content(size)).hexdigest(),
            hashlib.sha256(f"cd/é\0{size}\0{5}\0".encode() + content(size)[:HEAD]).hexdigest(),
        ]
        for size in SIZES
    ]


# Of a browser that cannot read into memory that is there.
_PLAIN = "for (const each of files) each.stream = () => ({ getReader() { throw new TypeError(); } });\n"


@pytest.mark.parametrize("way", ["", _PLAIN])
def test_several_at_once_have_memory_of_their_own(way: str) -> None:
    found = said_by(
        "const files = Array.from({ length: 16 }, (_, n) => new File([new Uint8Array(200_000).fill(n)], 'x'));\n"
        f"{way} await digest.sha256(files[0]);\n"
        "console.log(JSON.stringify(await Promise.all(files.map((each) => digest.sha256(each)))));"
    )
    assert found == [hashlib.sha256(bytes([number]) * 200_000).hexdigest() for number in range(16)]


def test_a_file_that_became_shorter_has_none() -> None:
    found = said_by(
        f"{_FILES} const cut = file(70_000); cut.stream = () => file(100).stream();\n"
        "console.log(JSON.stringify(await digest.sha256(cut).catch((error) => error.message)));"
    )
    assert found == "The file is shorter than it was."
