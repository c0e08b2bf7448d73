"""The upload engine as pages get it: the modules of ``web/upload``, and dicom-parser from npm as a module."""

import json
from pathlib import Path

from web.npm import fetch, read

FOLDER = Path(__file__).resolve().parent / "upload"
LOCK = FOLDER / "dicom-parser.json"
_SCRIPT = "package/dist/dicomParser.min.js"
# How the package asks for its one import, which inflates deflated files; the engine inflates them itself.
_UMD = b'"object"==typeof exports&&"object"==typeof module?module.exports=t(require("zlib"))'
_AS_MODULE = (
    b"const module = { exports: {} }, exports = module.exports, require = () => undefined;\n"
    b"%s\nexport default module.exports;\n"
)


def upload_engine(downloads: Path) -> dict[str, bytes]:
    """Return the files of the engine by name; all of them are to lie in one folder.

    Parameters
    ----------
    downloads
        Folder of packages that were fetched before.

    Raises
    ------
    SystemExit
        The package is not what the lock file names, or is written otherwise than expected.
    """
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.glob("*.js"))}
    with fetch(LOCK, downloads) as package:
        script, licence = read(package, _SCRIPT), read(package, "package/LICENSE")
    if script.count(_UMD) != 1:
        raise SystemExit(f"{LOCK.name}: the package starts otherwise; is this another version?")
    script = b"\n".join(line for line in script.splitlines() if not line.startswith(b"//# sourceMappingURL"))
    version = json.loads(LOCK.read_text("utf-8"))["version"].encode()
    return files | {
        "dicom-parser.js": b"/* dicom-parser %s, MIT, see dicom-parser.txt */\n" % version + _AS_MODULE % script,
        "dicom-parser.txt": licence,
    }
