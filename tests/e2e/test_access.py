"""Nothing is open that is not meant to be: every route of the contract, with every wrong credential."""

import hashlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.authorizer import renew_authorizer
from tests.support.deployed import variables
from tests.support.pacs import FakePacs, Handler, Received, dicom_json
from tests.support.stack import Stack

CALLBACK = "/new-exam-callback"
KEY = rsa.generate_private_key(65537, 2048)
PAGES = {("get", "/share"), ("get", "/share/{version}/{file}"), ("get", "/viewer"), ("get", "/viewer/{path}")}
PAGES |= {("get", "/desk"), ("get", "/desk/{version}/{file}")}
OPEN = {("get", "/health"), ("get", "/openapi.json"), ("get", "/docs"), ("post", "/otps/redeem"), *PAGES}


def routes(stack: Stack) -> list[tuple[str, str]]:
    document = stack.request("GET", "/openapi.json", key=None).json()
    assert document["servers"] == [{"url": stack.api_url}]
    found = [(method, path) for path, methods in document["paths"].items() for method in methods]
    assert len(found) >= 12
    return [route for route in found if route not in OPEN]


def example(path: str) -> str:
    return path.replace("{", "1.2.").replace("}", "") if "{" in path else path


KEYS = [None, "", "wrong", "dsk_" + "A" * 43, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9."]


def test_every_route_refuses_who_is_unknown(stack: Stack) -> None:
    secured = routes(stack)
    assert len(secured) >= 20
    tried = Counter[str | None]()
    for method, path in secured:
        for key in KEYS:
            headers = {} if key is None else {"Authorization": f"Bearer {key}"}
            given = stack.request(method.upper(), example(path), key=None, headers=headers)
            assert given.status_code == 401, (method, path, key)
            assert given.headers["Content-Type"] == "application/problem+json"
            tried[key] += 1
    assert tried == dict.fromkeys(KEYS, len(secured))


def test_a_rejected_call_costs_the_next_one_no_cold_start(stack: Stack) -> None:
    """The authorizer raises to reject: its environment stays here as on AWS."""

    def starts() -> int:
        return sum("Lambda worker spawned" in line and "AuthorizeFunction" in line for line in stack.log.splitlines())

    assert stack.request("GET", "/uid").status_code == 200
    before = starts()
    assert before >= 1
    for _ in range(3):
        assert stack.request("GET", "/uid", key="wrong").status_code == 401
        assert stack.request("GET", "/uid").status_code == 200
    assert starts() == before


def test_the_callback_key_reaches_the_callback_alone(stack: Stack) -> None:
    refused = 0
    for method, path in routes(stack):
        if path != CALLBACK:
            given = stack.request(method.upper(), example(path), key=stack.callback_key)
            assert given.status_code == 403, (method, path)
            refused += 1
    assert refused >= 20
    # an empty body is refused by the function, so the key has passed
    given = stack.request("POST", CALLBACK, key=stack.callback_key)
    assert given.status_code == 400


def test_the_service_key_does_not_reach_the_callback(stack: Stack) -> None:
    assert ("post", CALLBACK) in routes(stack)
    assert stack.request("POST", CALLBACK).status_code == 403


def test_the_secret_holds_hashes_only(stack: Stack) -> None:
    secret = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["ServiceKeysSecret"])
    assert stack.service_key not in secret["SecretString"]
    assert hashlib.sha256(stack.service_key.encode()).hexdigest() in secret["SecretString"]


def test_a_key_that_is_withdrawn_is_refused_by_a_new_authorizer(stack: Stack) -> None:
    # GIVEN a second key that is let in
    manager, secret = stack.client("secretsmanager"), stack.outputs["ServiceKeysSecret"]
    before = manager.get_secret_value(SecretId=secret)["SecretString"]
    other = f"dsk_{secrets.token_urlsafe(32)}"
    entry = {"name": "withdrawn", "role": "service", "sha256": hashlib.sha256(other.encode()).hexdigest()}
    keys = [*json.loads(before)["keys"], entry]
    manager.put_secret_value(SecretId=secret, SecretString=json.dumps({"keys": keys}))
    try:
        renew_authorizer(stack)
        assert stack.request("GET", "/uid", key=other).status_code == 200
    finally:
        # WHEN it is withdrawn
        manager.put_secret_value(SecretId=secret, SecretString=before)
        renew_authorizer(stack)
    # THEN it is refused, and the key beside it is not
    assert stack.request("GET", "/uid", key=other).status_code == 401
    assert stack.request("GET", "/uid").status_code == 200


@pytest.fixture
def issuer() -> Iterator[FakePacs]:
    """An identity provider: its discovery document and its key."""

    def give(handler: Handler, received: Received) -> None:
        keys = [jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key(), as_dict=True) | {"kid": "k1", "use": "sig"}]
        is_discovery = received.path.endswith("/.well-known/openid-configuration")
        dicom_json({"jwks_uri": f"{server.url}/keys"} if is_discovery else {"keys": keys})(handler, received)

    with FakePacs(give) as server:
        yield server


def test_users_of_an_issuer_have_the_role_that_a_claim_says(stack: Stack, issuer: FakePacs) -> None:
    # GIVEN an issuer whose administrators are mapped to service
    def token(**changes: Any) -> str:
        claims = {"iss": issuer.url, "aud": "dicom-service", "exp": time.time() + 600, "sub": "somebody", **changes}
        return jwt.encode(claims, KEY, "RS256", headers={"kid": "k1"})

    def statuses(key: str) -> list[int]:
        paths = ("/exams/studies?patientID=NOBODY", "/otps?patientID=NOBODY")
        return [stack.request("GET", path, key=key).status_code for path in paths]

    roles = "admin=service,doctor=reader"
    settings = {"OIDC_ISSUER": issuer.url, "OIDC_AUDIENCE": "dicom-service", "OIDC_ROLES": roles}
    with variables(stack, "AuthorizeFunction", **settings):
        # THEN readers never reach codes, and others nothing
        assert statuses(token(roles=["doctor"])) == [200, 403]
        assert statuses(token(roles=["porter"])) == [403, 403]
        assert statuses(token(roles=["doctor", "admin"])) == [200, 200]
        assert statuses(token(aud="another service", roles=["admin"])) == [401, 401]
        # AND an issuer that is down withdraws nobody
        asked = len(issuer.received)
        issuer.shutdown()
        assert statuses(token(roles=["doctor"])) == [200, 403]
        assert asked >= 2
    assert statuses(token(roles=["admin"])) == [401, 401]


def test_the_docs_page_is_html_and_carries_its_policy(stack: Stack) -> None:
    given = stack.request("GET", "/docs", key=None)
    assert given.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in given.headers["Content-Security-Policy"]
    assert given.text.startswith("<!doctype html>")
