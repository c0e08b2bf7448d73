"""Nothing is open that is not meant to be: every route of the contract, with every wrong credential."""

import pytest

from tests.support.stack import Stack

OPEN = {("get", "/health"), ("get", "/openapi.json"), ("get", "/docs"), ("post", "/otps/redeem")}


def routes(stack: Stack) -> list[tuple[str, str]]:
    document = stack.request("GET", "/openapi.json", key=None).json()
    assert document["servers"] == [{"url": stack.api_url}]
    found = [(method, path) for path, methods in document["paths"].items() for method in methods]
    assert len(found) >= 12
    return [route for route in found if route not in OPEN]


def example(path: str) -> str:
    return path.replace("{", "1.2.").replace("}", "") if "{" in path else path


@pytest.mark.parametrize(
    "key", [None, "", "wrong", "dsk_" + "A" * 43, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9."], ids=range(5)
)
def test_every_route_refuses_who_is_unknown(stack: Stack, key: str | None) -> None:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    for method, path in routes(stack):
        given = stack.request(method.upper(), example(path), key=None, headers=headers)
        assert given.status_code == 401, (method, path)
        assert given.headers["Content-Type"] == "application/problem+json"


def test_the_callback_key_reaches_the_callback_alone(stack: Stack) -> None:
    for method, path in routes(stack):
        given = stack.request(method.upper(), example(path), key=stack.callback_key)
        if path == "/new-exam-callback":
            assert given.status_code not in (401, 403)
        else:
            assert given.status_code == 403, (method, path)


def test_the_service_key_does_not_reach_the_callback(stack: Stack) -> None:
    for method, path in routes(stack):
        if path == "/new-exam-callback":
            assert stack.request(method.upper(), path).status_code == 403


def test_a_key_that_is_withdrawn_is_refused_by_a_new_authorizer(stack: Stack) -> None:
    """The secret holds hashes only: the key itself is nowhere in it."""
    secret = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["ServiceKeysSecret"])
    assert stack.service_key not in secret["SecretString"]


def test_the_docs_page_is_html_and_carries_its_policy(stack: Stack) -> None:
    given = stack.request("GET", "/docs", key=None)
    assert given.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in given.headers["Content-Security-Policy"]
    assert given.text.startswith("<!doctype html>")
