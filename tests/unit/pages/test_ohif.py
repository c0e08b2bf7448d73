"""OHIF's package, rewritten: each replacement is counted, and what fits another version only is seen."""

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from web.notices import notices
from web.npm import fetch
from web.ohif import LOCK, Unexpected, rewrite_bundle, rewrite_document, viewer

HEAD = '<!doctype html><html><head><meta charset="UTF-8">'
INLINE = (
    '<script>console.time("scriptToView"),window.PUBLIC_URL="/"</script>'
    '<script rel="preload" as="script" type="module" src="/init-service-worker.js"></script>'
    '<script>function browserImportFunction(n){return import(n)}window.PUBLIC_URL="/"</script>'
)
REST = (
    '<link rel="manifest" href="/manifest.json"><link rel="apple-touch-icon" href="/assets/a.png">'
    '<script rel="preload" as="script" src="/app-config.js"></script><script defer src="/app.bundle.1.js"></script>'
    '<link href="/app.bundle.css" rel="stylesheet"></head></html>'
)


def test_the_document_has_relative_paths_and_no_inline_script() -> None:
    document = rewrite_document(HEAD + INLINE + REST, "abc")

    assert '<meta charset="UTF-8"><script src="abc/base.js"></script>' in document
    assert 'src="abc/app.bundle.1.js"' in document
    assert 'href="abc/app.bundle.css"' in document
    assert "manifest" not in document
    assert "<script>" not in document


@pytest.mark.parametrize(
    "document",
    [
        HEAD + REST,
        HEAD + INLINE + "<script>another()</script>" + REST,
        HEAD + INLINE + INLINE + REST,
        INLINE + REST,
        HEAD + INLINE + REST.replace("app-config", "config"),
    ],
)
def test_a_document_of_another_version_is_not_packed(document: str) -> None:
    with pytest.raises(Unexpected, match="another version"):
        rewrite_document(document, "abc")


def test_a_bundle_finds_its_parts_wherever_it_lies() -> None:
    content, found = rewrite_bundle("app.js", b'a;__webpack_require__.p = "/";b;')

    assert found == 1
    assert b'p = "/"' not in content
    assert b"self.PUBLIC_URL" in content
    assert rewrite_bundle("chunk.js", b"nothing of it") == (b"nothing of it", 0)


@pytest.mark.parametrize("path", ['"/ohif/"', '"auto"'])
def test_a_bundle_with_another_path_is_not_packed(path: str) -> None:
    with pytest.raises(Unexpected, match="another public path"):
        rewrite_bundle("app.js", f"__webpack_require__.p = {path};".encode())


TOKEN = "const token = lowerCaseSearchParams.get('token');\n"
TOUR = (
    ";// CONCATENATED MODULE: ./node_modules/shepherd.js/dist/js/shepherd.mjs\ntour();\n"
    "//# sourceMappingURL=shepherd.mjs.map\n"
)
MICROSCOPY = 'pluginImports_modes.push("@ohif/mode-microscopy");\n'


def published(*texts: str) -> dict[str, bytes]:
    """OHIF's package, of which bundles have these texts."""
    bundle = '__webpack_require__.p = "/";\n'
    bundles = {f"package/dist/{number}.bundle.js": bundle + text for number, text in enumerate(texts)}
    return {
        name: text.encode()
        for name, text in {"package/LICENSE": "MIT", "package/dist/index.html": HEAD + INLINE + REST, **bundles}.items()
    }


def packed(folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Pack it."""
    lock = package(folder, files)
    monkeypatch.setattr("web.ohif.LOCK", lock)
    return {source.path.rpartition("/")[2]: source.content for source in viewer(folder)}


def test_ohif_takes_the_token_from_the_page_and_never_from_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = published(f"a;\n  {TOKEN}  if (token) {{ use(token); }}\n", TOUR, MICROSCOPY, "", "", "", "", "")
    given = packed(tmp_path, files, monkeypatch)

    bundle = given["0.bundle.js"].decode()
    assert "get('token')" not in bundle
    assert "const token = null;\n" in bundle
    assert "setServiceImplementation({ getAuthorizationHeader: window.authorization });\n" in bundle
    config = given["app-config.js"].decode()
    assert "window.authorization = " in config
    assert '"token"' not in config


@pytest.mark.parametrize("again", [TOKEN, MICROSCOPY])
@pytest.mark.parametrize("times", [0, 2])
def test_a_version_that_has_a_text_otherwise_than_once_is_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: str, times: int
) -> None:
    others = [text for text in (TOKEN, MICROSCOPY) if text != again]
    files = published(*others, TOUR, again * times, "", "", "", "", "")

    with pytest.raises(Unexpected, match=rf"{times} times in the bundles.*another version"):
        packed(tmp_path, files, monkeypatch)


def test_the_notices_of_what_the_bundles_contain_are_one_file() -> None:
    bundles = [
        "; // MODULE: ../../node_modules/@scope/one/index.js\n/*! one v1 | (c) A | MIT License */\ncode();\n",
        "// Copyright (c) B\n// SPDX-License-Identifier: BSD-3-Clause\nvar x = 'node_modules/two/a.js'; // a word\n",
        "/*! one v1 | (c) A | MIT License */\n/* nothing of it */\n",
    ]
    text = notices(bundles)

    assert "Packages\n\n  @scope/one\n  two\n" in text
    assert text.count("one v1 | (c) A | MIT License") == 1
    assert "Copyright (c) B\n  SPDX-License-Identifier: BSD-3-Clause\n" in text
    assert "a word" not in text
    assert "nothing of it" not in text


MIT = {"package/LICENSE": b"MIT"}


def package(folder: Path, files: dict[str, bytes], *, integrity: str | None = None) -> Path:
    """A package in the folder of downloads, and the lock that names it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    (folder / "thing-1.0.0.tgz").write_bytes(file.getvalue())
    digest = base64.b64encode(hashlib.sha512(file.getvalue()).digest()).decode()
    lock = folder / "thing.json"
    lock.write_text(
        json.dumps({"package": "@some/thing", "version": "1.0.0", "integrity": integrity or f"sha512-{digest}"})
    )
    return lock


def test_what_was_fetched_before_needs_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://127.0.0.1:1")
    with fetch(package(tmp_path, MIT), tmp_path) as archive:
        stream = archive.extractfile("package/LICENSE")
        assert stream
        assert stream.read() == b"MIT"


def test_a_package_that_is_not_the_locked_one_is_fetched_again_and_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = package(tmp_path, MIT, integrity="sha512-AAAA")
    registry = tmp_path / "@some" / "thing" / "-"
    registry.mkdir(parents=True)
    (registry / "thing-1.0.0.tgz").write_bytes((tmp_path / "thing-1.0.0.tgz").read_bytes())
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", tmp_path.as_uri())

    with pytest.raises(SystemExit, match="is not the"):
        fetch(lock, tmp_path)
    assert not (tmp_path / "thing-1.0.0.tgz").exists()


def test_the_lock_names_one_version_by_a_strong_hash() -> None:
    lock = json.loads(LOCK.read_text())

    assert lock["licence"] == "MIT"
    assert lock["integrity"].startswith("sha512-")
    assert len(base64.b64decode(lock["integrity"].removeprefix("sha512-"))) == 64
