"""The pages as they are packed and served: paths, compression, caching, policies, and who they speak for."""

import gzip
import html
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from dicom_service.audit.actions import ACTIONS
from dicom_service.errors import SettingsError
from dicom_service.pages.policies import policy_of
from dicom_service.pages.settings import PageSettings
from dicom_service.settings import load
from local.settings import SHARED
from tests.support.lambdas import Answer, clear_dependencies, sample_event
from web.pack import desk, pack, page, share_page
from web.source import Source

LARGEST_PAGE = 40_000
LARGEST_DESK = 120_000
Get = Callable[..., Answer]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("layer")
    pack(folder / "web_pages", chain(share_page(), desk(SHARED / "downloads")))
    yield folder


@pytest.fixture
def get(packed: Path, monkeypatch: pytest.MonkeyPatch) -> Get:
    monkeypatch.syspath_prepend(str(packed))
    monkeypatch.setenv("SERVICE_NAME", 'Clinic "<A&B>"')

    def call(path: str, caller: dict[str, str] | None = None, **headers: str) -> Answer:
        sys.modules.pop("web_pages", None)
        clear_dependencies()
        app = importlib.import_module("functions.get_page.app")
        event: dict[str, Any] = sample_event("get_page") | {"path": path}
        event["headers"] = {name.replace("_", "-"): value for name, value in headers.items()}
        event["multiValueHeaders"] = {name: [value] for name, value in event["headers"].items()}
        event["requestContext"] |= {"authorizer": caller}
        return Answer(app.lambda_handler(event, None))

    return call


def module_path(document: str, name: str = "app.js") -> str:
    found = re.search(rf'"(\w+/[0-9a-f]{{12}}/{re.escape(name)})"', document)
    assert found, document
    return f"/{found[1]}"


def test_the_page_names_its_operator_and_nothing_breaks_out(get: Get) -> None:
    document = get("/share").body.decode()

    assert document.count(html.escape('Clinic "<A&B>"')) >= 3
    assert "<A&B>" not in document
    assert "{{" not in document


def test_the_page_is_asked_for_again_and_its_modules_are_kept_for_good(get: Get) -> None:
    document = get("/share")
    module = get(module_path(document.body.decode()))

    assert (document.status, document.headers["Cache-Control"]) == (200, "no-cache")
    assert module.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert module.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert b"import " in module.body


def test_who_has_the_page_gets_304(get: Get) -> None:
    tag = get("/share").headers["ETag"]

    again = get("/share", If_None_Match=f'"other", W/{tag}')
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == tag
    assert get("/share", If_None_Match='"other"').status == 200


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=0.5", "*", "GZIP"])
def test_who_takes_gzip_gets_it(get: Get, accepted: str) -> None:
    plain, squeezed = get("/share"), get("/share", Accept_Encoding=accepted)

    assert "Content-Encoding" not in plain.headers
    assert squeezed.headers["Content-Encoding"] == "gzip"
    assert squeezed.headers["Vary"] == "Accept-Encoding, Accept-Language"
    assert gzip.decompress(squeezed.body) == plain.body


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("de-AT,de;q=0.9,en;q=0.8", "de"), ("nl, FR-ch;q=0.7", "fr"), ("nl", "en"), ("", "en"), (",;q=x", "en")],
)
@pytest.mark.parametrize("path", ["/share", "/desk"])
def test_the_words_of_a_page_are_named_with_its_document(get: Get, path: str, accepted: str, language: str) -> None:
    document = get(path, Accept_Language=accepted)
    words = module_path(document.body.decode()).replace("app.js", f"lang-{language}.js")

    assert document.headers["Link"] == f'<{words.removeprefix("/")}>; rel="modulepreload"'
    assert "Link" not in get(words).headers
    assert get(words).status == 200


@pytest.mark.parametrize("accepted", ["identity", "gzip;q=0", "br", "gzip; q=0.0"])
def test_who_does_not_take_gzip_gets_the_plain_page(get: Get, accepted: str) -> None:
    given = get("/share", Accept_Encoding=accepted)

    assert "Content-Encoding" not in given.headers
    assert given.body.startswith(b"<!doctype html>")


@pytest.mark.parametrize("path", ["/share/000000000000/app.js", "/share/x/index.json", "/viewer/none"])
def test_what_was_not_packed_is_404(get: Get, path: str) -> None:
    given = get(path)

    assert (given.status, given.json["code"]) == (404, "NO_SUCH_ROUTE")


@pytest.mark.parametrize(("path", "location"), [("/viewer", "viewer/viewer"), ("/viewer/", "viewer")])
def test_the_viewers_folder_leads_to_its_page(get: Get, path: str, location: str) -> None:
    given = get(path)

    assert (given.status, given.headers["Location"]) == (303, location)


@pytest.mark.parametrize("path", ["/share", "/desk"])
def test_every_path_in_a_page_is_relative_and_there(get: Get, path: str) -> None:
    """So the page works below a stage, at a domain of its own and behind PublicUrl."""
    document = get(path).body.decode()
    named = re.findall(r'(?:src|href)="([^"]+)"', document)
    files = [name for name in named if not name.startswith("data:")]

    assert len(files) > 8
    assert [name for name in files if name.startswith("/") or "//" in name] == []
    assert {get(f"/{name}").status for name in files} == {200}


@pytest.mark.parametrize("name", ["share", "desk"])
def test_modules_import_only_each_other(name: str) -> None:
    sources = share_page() if name == "share" else desk(SHARED / "downloads")
    texts = {source.path: source.content.decode() for source in sources if source.path.endswith(".js")}
    names = {Path(path).name for path in texts}
    imported = {name for text in texts.values() for name in re.findall(r'^import .*?"([^"]+)"', text, re.M)}

    assert len(imported) > 6
    assert {name.removeprefix("./") for name in imported} <= names
    assert [path for path, text in texts.items() if re.search(r'"https?://(?!www\.w3\.org/)', text)] == []


@pytest.mark.parametrize(("name", "largest"), [("share", LARGEST_PAGE), ("desk", LARGEST_DESK)])
def test_a_page_stays_small(packed: Path, name: str, largest: int) -> None:
    index = json.loads((packed / "web_pages" / "index.json").read_text())
    files = {entry["file"] for path, entry in index.items() if path.startswith(name)}
    size = sum((packed / "web_pages" / file).stat().st_size for file in files)

    print(f"{name} page: {size / 1000:.1f} kB with five languages, compressed")
    assert 10_000 < size < largest


@pytest.mark.parametrize("page", ["share", "desk"])
def test_all_languages_say_the_same_things(page: str) -> None:
    folder = Path(__file__).parents[3] / "web" / page
    said = {path.stem: path.read_text("utf-8") for path in folder.glob("lang-*.js")}
    lines = {name: dict(re.findall(r'^  "?([\w-]+)"?: "(.*)",$', text, re.M)) for name, text in said.items()}
    places = {
        name: {key: sorted(re.findall(r"{\w+}", line)) for key, line in entries.items()}
        for name, entries in lines.items()
    }

    assert sorted(said) == ["lang-de", "lang-en", "lang-es", "lang-fr", "lang-it"]
    assert len(lines["lang-en"]) > 80
    assert [name for name in lines if list(lines[name]) != list(lines["lang-en"])] == []
    assert [name for name in places if places[name] != places["lang-en"]] == []


def test_every_word_that_the_desk_says_is_in_its_languages() -> None:
    folder = Path(__file__).parents[3] / "web" / "desk"
    known = set(re.findall(r'^  "?([\w-]+)"?: "', (folder / "lang-en.js").read_text("utf-8"), re.M))
    texts = [path.read_text("utf-8") for path in folder.glob("*.js") if not path.stem.startswith("lang-")]
    asked = {key for text in texts for key in re.findall(r'\bt\("([\w-]+)"', text)}

    assert len(asked) > 80
    assert sorted(asked - known) == []
    assert len(ACTIONS) > 20
    assert sorted(name for name in ACTIONS if f"did_{name}" not in known) == []


def test_a_caller_is_told_its_name_and_role(get: Get) -> None:
    given = get("/me", caller={"principal": "oidc:nurse", "role": "reader"})

    assert (given.status, given.json) == (200, {"name": "oidc:nurse", "role": "reader"})
    assert given.headers["Cache-Control"] == "no-store"


def test_the_policy_lets_nothing_of_others_run(get: Get) -> None:
    policy = get("/share").headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert get("/share").headers["Referrer-Policy"] == "no-referrer"


def test_only_the_origin_of_the_logo_is_let_in() -> None:
    for name in ("share", "desk"):
        elsewhere = PageSettings(service_logo_url="https://clinic.example/logo.svg")
        assert "img-src 'self' data: blob: https://clinic.example;" in policy_of(name, elsewhere)
        within = PageSettings(service_logo_url="data:image/png;base64,AAAA")
        assert "img-src 'self' data: blob:;" in policy_of(name, within)


def test_the_desk_connects_to_the_issuer_only_where_people_sign_in_there() -> None:
    given = {"OIDC_ISSUER": "https://id.example/realms/a", "OIDC_ORIGINS": "https://login.example/oauth2/token"}
    given |= {"STAGING_ORIGIN": "https://bucket.s3.example"}
    without = policy_of("desk", load(PageSettings, given))
    assert "connect-src 'self' https://bucket.s3.example;" in without
    settings = load(PageSettings, given | {"OIDC_CLIENT_ID": "desk"})
    assert "connect-src 'self' https://bucket.s3.example https://id.example https://login.example;" in policy_of(
        "desk", settings
    )
    assert "connect-src 'self';" in policy_of("share", settings)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://a;script-src *", "https://a'", "id.example"])
def test_an_origin_that_would_change_the_policy_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="OIDC_ORIGINS"):
        load(PageSettings, {"OIDC_ORIGINS": url})


@pytest.mark.parametrize(
    "url", ["http://clinic.example/a.png", "javascript:alert(1)", "data:text/html;base64,AAAA", "https://a b/", "/logo"]
)
def test_a_logo_from_elsewhere_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="SERVICE_LOGO_URL"):
        load(PageSettings, {"SERVICE_LOGO_URL": url})


def test_the_folder_of_the_modules_changes_with_any_of_them(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("{{version}}")
    versions = set()
    for text in ("one", "two"):
        (tmp_path / "app.js").write_text(text)
        versions.add(next(page("share", tmp_path)).content)
    assert len(versions) == 2


def test_two_modules_of_one_name_are_not_packed(tmp_path: Path) -> None:
    for name in ("common", "share"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dom.js").write_text(name)
    with pytest.raises(SystemExit, match="one name"):
        next(page("share", tmp_path / "common", tmp_path / "share"))


def test_what_does_not_shrink_is_not_compressed(tmp_path: Path) -> None:
    pack(tmp_path / "out", [Source("a.svg", bytes(range(256)), "share")])

    (body,) = [path for path in (tmp_path / "out").iterdir() if path.name != "index.json"]
    assert body.read_bytes() == bytes(range(256))
