"""A page of another origin than the service that uses the upload engine, as somebody else's page would."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

from local.settings import SHARED
from tests.support.browser import PATIENCE
from tests.support.counting_proxy import CountingProxy
from tests.support.stack import Stack
from tests.support.waiting import wait_for
from web.engine import upload_engine

ORIGIN = f"http://{CountingProxy.host}"
_DOCUMENT = b"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Upload</title>
<script type="module" src="page.js"></script></head><body>
<input id="folder" type="file" webkitdirectory multiple><input id="files" type="file" multiple></body></html>"""
_SCRIPT = b"""import * as engine from "./engine.js";
const seen = { states: [], files: [], errors: [] };
window.desk = {
  seen,
  // Replaces what the service answers, once.
  answer: null,
  async inspect(id) {
    this.plan = await engine.inspect(engine.filesOf(document.getElementById(id).files));
  },
  get found() {
    const { files, ...rest } = this.plan;
    return { ...rest, files: files.map(({ path, size, kind }) => ({ path, size, kind })) };
  },
  async start(base, key) {
    this.key = key;
    this.store = await engine.openStore();
    this.interrupted = await this.store.interrupted();
    const ask = engine.serviceApi(base, () => this.key);
    const api = async (path, options) => {
      const found = await ask(path, options);
      if (this.answer && found.status === 201) {
        found.json = this.answer(found.json);
        this.answer = null;
      }
      return found;
    };
    this.upload = new engine.Upload({ api, plan: this.plan, store: this.store });
    this.upload.addEventListener("state", ({ detail }) => seen.states.push(detail));
    this.upload.addEventListener("file", ({ detail }) => seen.files.push([detail.path, detail.state]));
    this.upload.addEventListener("error", ({ detail }) => seen.errors.push(String(detail?.stack ?? detail)));
    await this.upload.start();
  },
};
"""
_TYPES = {".js": "text/javascript", ".txt": "text/plain"}


def pages() -> dict[str, tuple[str, bytes]]:
    """Return the files of the page: media type and bytes by name."""
    engine = upload_engine(SHARED / "downloads")
    found = {name: (_TYPES[Path(name).suffix], content) for name, content in engine.items()}
    return found | {"index.html": ("text/html", _DOCUMENT), "page.js": ("text/javascript", _SCRIPT)}


@contextmanager
def proxied(stack: Stack) -> Iterator[CountingProxy]:
    """A proxy that serves the page, with the policy that docs of the engine ask for and no more."""
    policy = (
        f"default-src 'none'; script-src 'self'; worker-src 'self'; connect-src {stack.local.settings.endpoint}; "
        "require-trusted-types-for 'script'; trusted-types dicom-upload"
    )
    with CountingProxy(pages(), {"Content-Security-Policy": policy}) as proxy:
        yield proxy


class UploadPage:
    """One tab with the page."""

    def __init__(self, context: BrowserContext, stack: Stack) -> None:
        self.stack = stack
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{ORIGIN}/")
        wait_for(lambda: self.page.evaluate("Boolean(window.desk)") or self.complaints)

    def choose(self, folder: Path) -> dict[str, Any]:
        """Choose a folder and return what the engine finds in it."""
        self.inspect(folder)
        found: dict[str, Any] = self.page.evaluate("desk.found")
        return found

    def inspect(self, folder: Path) -> None:
        """Choose a folder, and leave what is found in the page."""
        self.page.set_input_files("#folder", folder)
        self.page.evaluate("desk.inspect('folder')")

    def start(self, key: str = "") -> None:
        self.page.evaluate(
            "([base, key]) => desk.start(base, key)", [f"{self.stack.api_url}/", key or self.stack.service_key]
        )

    @property
    def progress(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate("desk.upload.progress")
        return found

    @property
    def report(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate("desk.upload.report")
        return found

    def until_sent(self, files: int, seconds: float) -> None:
        """Wait until so many files have been sent."""
        wait_for(lambda: self.progress["filesSent"] >= files, seconds)

    def until_done(self, seconds: float = PATIENCE / 1000) -> dict[str, Any]:
        """Wait for the end and return the report."""
        wait_for(lambda: self.progress["state"] in ("done", "cancelled") or self.seen["errors"], seconds)
        assert self.seen["errors"] == []
        return self.report

    def until_paused(self) -> str:
        """Wait until it pauses and return why."""
        wait_for(lambda: self.progress["state"] == "paused", PATIENCE / 1000)
        return str(self.progress["reason"])

    @property
    def seen(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate("desk.seen")
        return found

    def kill(self) -> None:
        """End the tab without a word, as the system does when memory is short."""
        self.page.close(run_before_unload=False)


def processes_of_tabs(browser: Browser) -> list[int]:
    """Return the processes in which tabs and their workers run. The browser keeps a spare one ready at times."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return [process["id"] for process in processes if process["type"] == "renderer"]


def memory_of(pids: Iterable[int]) -> int:
    """Return the bytes of memory that processes have for themselves: resident, and of no file."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
    return total * 1024


@contextmanager
def profile(browser: Browser, proxy: CountingProxy, **options: Any) -> Iterator[BrowserContext]:
    """A profile of a browser behind the proxy."""
    context = browser.new_context(proxy=proxy.options(**options))
    context.set_default_timeout(PATIENCE)
    try:
        yield context
    finally:
        context.close()
