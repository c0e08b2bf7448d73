"""OHIF as it is served below ``/viewer/``: the prebuilt package of npm, rewritten for any base path.

The package expects to lie at ``/``. What has to change is replaced by exact text, and each replacement is counted: a
version that is written otherwise fails here, when it is packed, and not in a browser.
"""

import hashlib
import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from web.notices import notices
from web.npm import fetch, read
from web.source import Source

HERE = Path(__file__).resolve().parent / "viewer"
LOCK = HERE / "ohif.json"
_DIST = "package/dist/"
# Speech, microscopy, source maps, splash screens, and what belongs to hosts and sign-ins that are not used here. The
# numbers are mode and extension for microscopy, and mathematics that they alone use, parts of which are under the LGPL.
_LEFT_OUT = re.compile(
    r"(5189|5731|8832|9290)\.|(ort|dicom-microscopy-viewer|customizations)/|.*\.map$"
    r"|_headers$|_redirects$|serve\.json$|sw\.js$"
    r"|init-service-worker\.js$|oidc-client\.min\.js$|silent-refresh\.html$|manifest\.json$|app-config\.js$"
    r"|assets/(apple|android|mstile|coast|firefox|browserconfig|manifest|yandex).*|google\.js$|es6-shim\.min\.js$"
)
_PUBLIC_PATH = '__webpack_require__.p = "/";'
# In the page the folder that base.js found; in a worker its own.
_FOUND_PATH = '__webpack_require__.p = self.PUBLIC_URL || self.location.href.replace(/[^/]*$/, "");'
_BUNDLES_WITH_PATH = 8
# The tour is drawn by a library under the AGPL, which may not be shipped; without tours nothing asks for it.
_TOUR = re.compile(
    rb";// CONCATENATED MODULE: [./]*node_modules/shepherd\.js/dist/js/shepherd\.mjs\n.*?\n"
    rb"//# sourceMappingURL=shepherd\.mjs\.map\n",
    re.S,
)
_TOUR_NAMED = re.compile(rb";// CONCATENATED MODULE: [./]*node_modules/shepherd\.js/dist/css/[^\n]*\n[^\n]*\n")
_NO_TOUR = b"const shepherd_fe = {};\n"
# What is there once in all bundles, and what is put there instead.
_ONCE = {
    b'pluginImports_modes.push("@ohif/mode-microscopy");\n': b"",
    # A token in the address is sent with each reload until OHIF has started: app-config.js gives it in the page.
    b"const token = lowerCaseSearchParams.get('token');\n": b"const token = null;\n"
    b"  userAuthenticationService.setServiceImplementation({ getAuthorizationHeader: window.authorization });\n",
}
_TOUR_STYLE = re.compile(rb"[^{}]*shepherd[^{}]*{[^{}]*}")
_INLINE = (
    '<script>console.time("scriptToView"),window.PUBLIC_URL="/"</script>',
    '<script>function browserImportFunction(n){return import(n)}window.PUBLIC_URL="/"</script>',
    '<script rel="preload" as="script" type="module" src="/init-service-worker.js"></script>',
)


class Unexpected(SystemExit):
    """The package is written otherwise than this module expects."""


def viewer(downloads: Path) -> Iterator[Source]:
    """Yield OHIF: its document, and its files below their version.

    Raises
    ------
    Unexpected
        A replacement does not fit this version.
    """
    with fetch(LOCK, downloads) as package:
        files = dict(_files(package))
        licence = read(package, "package/LICENSE")
    document = files.pop("index.html").decode("utf-8")
    own = {name: (HERE / name).read_bytes() for name in ("base.js", "app-config.js")}
    made_of = LOCK.read_bytes() + Path(__file__).read_bytes() + repr(sorted(own.items())).encode()
    version = hashlib.sha256(made_of).hexdigest()[:12]
    yield Source("viewer/viewer", rewrite_document(document, version).encode(), "viewer")
    bundles = tours = 0
    once = Counter[bytes]()
    texts = []
    for name, content in (files | own | {"LICENSE.txt": licence}).items():
        if name.endswith(".js"):
            content, found = rewrite_bundle(name, content)
            bundles += found
            content, found = _TOUR.subn(_NO_TOUR, content)
            tours += found
            content = _TOUR_NAMED.sub(b"", content)
            content = replace_counted(content, once)
            _expect(b"LGPL" not in content, f"something under the LGPL is left in {name}")
            _expect(b"shepherd.js " not in content, f"the tour's library is left in {name}")
        elif name.endswith(".css"):
            content = _TOUR_STYLE.sub(b"", content).replace(b"url(/", b"url(")
            _expect(b"shepherd" not in content, f"styles of the tour are left in {name}")
        if name.endswith((".js", ".css")):
            texts.append(content.decode("utf-8", "replace"))
        yield Source(f"viewer/{version}/{name}", content, "viewer", is_immutable=True)
    yield Source(f"viewer/{version}/NOTICES.txt", notices(texts).encode(), "viewer", is_immutable=True)
    _expect(bundles == _BUNDLES_WITH_PATH, f"{bundles} bundles with a public path")
    for text in _ONCE:
        _expect(once[text] == 1, f"{once[text]} times in the bundles: {text.decode().strip()}")
    _expect(tours == 1, f"the library of the tour {tours} times")


def rewrite_document(document: str, version: str) -> str:
    """Return the document without inline scripts and absolute paths."""
    for text in _INLINE:
        _expect(document.count(text) == 1, f"not once in index.html: {text}")
        document = document.replace(text, "")
    # Icons and splash screens of other platforms.
    document = re.sub(
        r'<link rel="(apple-[^>]*|manifest[^>]*|yandex[^>]*|icon" type="image/png" sizes="228[^>]*)>', "", document
    )
    document = re.sub(r'<meta name="msapplication[^>]*>', "", document)
    head = '<meta charset="UTF-8">'
    _expect(document.count(head) == 1, "no place for the first script")
    document = document.replace(head, f'{head}<script src="{version}/base.js"></script>')
    document = re.sub(r'(src|href)="/', rf'\1="{version}/', document)
    _expect("<script>" not in document and '="/' not in document, "an inline script or an absolute path is left")
    _expect(document.count(f'src="{version}/app-config.js"') == 1, "no app-config.js")
    return document


def rewrite_bundle(name: str, content: bytes) -> tuple[bytes, int]:
    """Return a bundle that finds its other parts wherever it lies, and whether it asks for that."""
    found = content.count(_PUBLIC_PATH.encode())
    _expect(found <= 1, f"{found} public paths in {name}")
    _expect(content.count(b"__webpack_require__.p =") == found, f"another public path in {name}")
    return content.replace(_PUBLIC_PATH.encode(), _FOUND_PATH.encode()), found


def replace_counted(content: bytes, counts: Counter[bytes]) -> bytes:
    """Return a bundle with what stands for each text that is there once in all; add how often each was there."""
    for text, instead in _ONCE.items():
        counts[text] += content.count(text)
        content = content.replace(text, instead)
    return content


def _files(package: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in package:
        name = member.name.removeprefix(_DIST)
        if member.isfile() and name != member.name and not _LEFT_OUT.match(name):
            yield name, read(package, member.name)


def _expect(holds: bool, problem: str) -> None:
    if not holds:
        raise Unexpected(f"{LOCK.name}: {problem}; is this another version?")
