"""Packs the pages for their layer: ``python -m web.pack TARGET DOWNLOADS``, called by ``sam build``.

Each file becomes one body, compressed where that helps, and one row of ``index.json``: path, media type, ETag, policy.
The files of a page lie below a folder that is named by the hash of them all, so that modules import each other by
relative names, browsers keep them for good, and a page never runs with the modules of another version.
"""

import gzip
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from web.engine import upload_engine
from web.npm import fetch, read
from web.ohif import viewer
from web.source import Source

HERE = Path(__file__).resolve().parent
_COMMENT_LINE = re.compile(r"^\s*//[^\n]*\n", re.M)


def share_page() -> Iterator[Source]:
    """Yield the share page."""
    return page("share", HERE / "common", HERE / "share")


def desk(downloads: Path) -> Iterator[Source]:
    """Yield the desk, with the upload engine, and the encoder of QR codes that npm has."""
    with fetch(HERE / "desk" / "qr.json", downloads) as package:
        files = {"qr-encoder.js": "package/index.js", "qr-encoder.LICENSE.txt": "package/LICENSE-MIT"}
        others = {name: read(package, member) for name, member in files.items()}
    others |= upload_engine(downloads)
    return page("desk", HERE / "common", HERE / "desk", others=others)


def page(name: str, *folders: Path, others: Mapping[str, bytes] | None = None) -> Iterator[Source]:
    """Yield a page: its document, and its modules and styles below their version.

    Parameters
    ----------
    name
        Its path, and the name of its policy.
    folders
        Where its modules are, which all lie in one folder when they are served; the last one has its document.
    others
        Modules of others beside them, and their licences.
    """
    found = sorted(path for folder in folders for path in folder.iterdir() if path.suffix in (".js", ".css"))
    files = {path.name: path.read_bytes() for path in found}
    if len(files) != len(found):
        raise SystemExit(f"two modules of one name in {', '.join(map(str, folders))}")
    # Modules that the page imports first, so that they are not found one by one; of the languages it needs one.
    early = [file for file in files if file.endswith(".js") and not file.startswith("lang-") and file != "app.js"]
    if others and files.keys() & others.keys():
        raise SystemExit(f"two modules of one name: {sorted(files.keys() & others.keys())}")
    files |= others or {}
    version = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:12]
    hints = "\n".join(f'<link rel="modulepreload" href="{name}/{version}/{file}">' for file in early)
    document = (folders[-1] / "index.html").read_text("utf-8")
    document = document.replace("{{modules}}", hints).replace("{{version}}", version)
    yield Source(name, document.encode(), name, is_filled=True)
    for file, content in files.items():
        if file.endswith(".js"):
            content = _COMMENT_LINE.sub("", content.decode("utf-8")).encode()
        yield Source(f"{name}/{version}/{file}", content, name, is_immutable=True)


def pack(target: Path, sources: Iterable[Source]) -> None:
    """Write bodies and index to an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    index = {}
    for source in sources:
        digest = hashlib.sha256(source.content).hexdigest()
        squeezed = gzip.compress(source.content, 9, mtime=0)
        is_gzip = len(squeezed) < len(source.content) * 0.95
        (target / digest[:32]).write_bytes(squeezed if is_gzip else source.content)
        index[source.path] = {
            "file": digest[:32],
            "gzip": is_gzip,
            "type": source.media_type,
            "tag": digest[:32],
            "policy": source.policy,
            "immutable": source.is_immutable,
            "filled": source.is_filled,
        }
    (target / "index.json").write_text(json.dumps(index), "utf-8")


if __name__ == "__main__":
    pack(Path(sys.argv[1]), chain(share_page(), desk(Path(sys.argv[2])), viewer(Path(sys.argv[2]))))
