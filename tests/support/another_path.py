"""A proxy that has the API at another origin and below another path, as a custom domain with a base path does."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import requests

from tests.support.loopback import Loopback, LoopbackHandler

PLACE = "/our/place"
# These answers have no body, whatever was asked (RFC 9110 §6.4.1); no test expects one or the other.
_WITHOUT_BODY = (204, 304)
_OF_ONE_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "host", "server", "date")


@contextmanager
def another_path(api_url: str) -> Iterator[str]:
    """Yield the URL below which the API can be reached instead."""
    with Loopback(partial(_Proxy, api_url)) as server:
        yield server.url + PLACE


class _Proxy(LoopbackHandler):
    def __init__(self, api_url: str, *rest: object) -> None:
        self._api_url = api_url
        super().__init__(*rest)  # type: ignore[arg-type]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if not self.path.startswith(f"{PLACE}/"):
            self.send_error(404)
            return
        url = self._api_url + self.path.removeprefix(PLACE)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OF_ONE_HOP}
        with requests.request(
            self.command, url, data=body, headers=headers, stream=True, allow_redirects=False, timeout=180
        ) as given:
            content = given.raw.read(decode_content=False)
        self.send_response(given.status_code)
        for name, value in given.headers.items():
            if name.lower() not in _OF_ONE_HOP:
                self.send_header(name, value)
        if given.status_code not in _WITHOUT_BODY:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = _pass_on
