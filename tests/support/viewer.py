"""The viewer that the reference gets its tokens from, as its maker documents it."""

from tests.support.pacs import Handler, Received, answer

PATH = "/ngv/obscurl"
KEY = "api-key-CANARY"
TOKEN = "d3092u94r8d238fj29dd38d329d3287d3j29d"


def reference_viewer(handler: Handler, received: Received) -> None:
    """Want a bare key, a user name, a role and a study, and nothing else; answer the token as text."""
    if received.headers.get("authorization") != KEY:
        give = answer(401)
    elif (received.method, received.path) != ("GET", PATH):
        give = answer(404)
    elif set(received.query) != {"username", "role", "studyUID"}:
        give = answer(400)
    else:
        give = answer(200, TOKEN.encode(), "text/plain;charset=UTF-8")
    give(handler, received)
