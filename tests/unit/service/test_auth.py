"""Who may call what."""

import datetime
import hashlib
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from dicom_service.audit.actions import ROUTES
from dicom_service.auth.authorizer import Authorizer, AuthSettings, bearer_token
from dicom_service.auth.oidc import STALE_FOR, OidcVerifier, RoleClaims, default_role, role_map
from dicom_service.auth.principal import Principal
from dicom_service.auth.service_keys import CallbackKey, ServiceKeys
from dicom_service.aws import Secret
from dicom_service.errors import Unauthorized, Unavailable
from dicom_service.settings import load

ISSUER, AUDIENCE = "https://id.example.org/realm", "dicom-service"
KEY = rsa.generate_private_key(65537, 2048)
STUDY = "/exams/studies/{studyUID}"


class FixedSecret(Secret):
    def __init__(self, value: dict[str, Any]) -> None:
        super().__init__("arn")
        self.fixed = value

    def value(self) -> dict[str, Any]:
        return self.fixed


def event(method: str, resource: str, token: str = "", **path_parameters: str) -> dict[str, Any]:
    return {
        "httpMethod": method,
        "resource": resource,
        "pathParameters": path_parameters or None,
        "headers": {"authorization": f"Bearer {token}"} if token else {},
        "methodArn": "arn:aws:execute-api:eu-south-1:1:api/v1/GET/whatever",
    }


def keys() -> ServiceKeys:
    entries = [
        {"name": "clinic", "role": "service", "sha256": hashlib.sha256(b"good").hexdigest()},
        {"name": "screen", "role": "reader", "sha256": hashlib.sha256(b"look").hexdigest()},
        {"name": "odd", "role": "emperor", "sha256": hashlib.sha256(b"odd").hexdigest()},
    ]
    return ServiceKeys(FixedSecret({"keys": entries}))


def effect(policy: Mapping[str, Any]) -> str:
    return str(policy["policyDocument"]["Statement"][0]["Effect"])


def test_each_role_reaches_its_routes_and_no_others() -> None:
    callback = Principal("pacs", "callback")
    service, reader = Principal("clinic", "service"), Principal("screen", "reader")
    auditor = Principal("officer", "auditor")
    exam = Principal("otp", "exam", study_uid="1.2.3")
    table = [
        # method, resource, studyUID, service, reader, auditor, callback, exam
        ("GET", "/exams/studies", None, True, True, False, False, False),
        ("POST", "/exams", None, True, False, False, False, False),
        ("GET", f"{STUDY}/series", "1.2.3", True, True, False, False, True),
        ("GET", f"{STUDY}/series", "1.2.4", True, True, False, False, False),
        ("DELETE", f"{STUDY}/series", "1.2.3", True, False, False, False, False),
        ("GET", f"{STUDY}/callbacks", "1.2.3", True, True, False, False, False),
        ("GET", "/exams/studies/{studyUID}x", "1.2.3", True, True, False, False, False),
        ("GET", "/token", None, True, False, False, False, False),
        ("GET", "/uid", None, True, False, False, False, False),
        ("GET", "/otps", None, True, False, False, False, False),
        ("GET", "/otps/{otpId}", None, True, False, False, False, False),
        ("DELETE", "/otps/{otpId}", None, True, False, False, False, False),
        ("GET", "/events", None, True, True, False, False, False),
        ("POST", "/new-exam-callback", None, False, False, False, True, False),
        ("GET", "/new-exam-callback", None, False, False, False, False, False),
        ("GET", f"{STUDY}/accesses", "1.2.3", True, True, True, False, False),
        ("POST", f"{STUDY}/accesses", "1.2.3", True, False, False, False, False),
        ("GET", "/audit", None, False, False, True, False, False),
        ("DELETE", "/access-token", None, False, False, False, False, True),
        ("GET", "/access-token", None, False, False, False, False, False),
    ]
    for method, resource, study, *expected in table:
        parameters = {"studyUID": study} if study else {}
        reached = [who.reaches(method, resource, parameters) for who in (service, reader, auditor, callback, exam)]
        assert reached == expected, (method, resource, study)


def test_a_recipient_sees_who_saw_the_exam_only_where_its_issuer_allowed_it() -> None:
    for context, reached in (({"showAccesses": "true"}, True), ({"showAccesses": "false"}, False), ({}, False)):
        exam = Principal("otp", "exam", study_uid="1.2.3", context=context)
        assert exam.reaches("GET", f"{STUDY}/accesses", {"studyUID": "1.2.3"}) is reached
        assert not exam.reaches("GET", f"{STUDY}/accesses", {"studyUID": "1.2.4"})
        assert not exam.reaches("POST", f"{STUDY}/accesses", {"studyUID": "1.2.3"})
        assert not exam.reaches("GET", "/audit", {"studyUID": "1.2.3"})


def test_an_exam_credential_without_a_study_reaches_nothing() -> None:
    assert not Principal("otp", "exam").reaches("GET", f"{STUDY}/series", {})
    diagnostic = Principal("otp", "exam", context={"examRole": "diagnostic"})
    assert not diagnostic.reaches("GET", "/dicomweb/studies", {})


def test_an_exam_credential_reaches_dicomweb_only_with_the_role_for_viewers() -> None:
    """Any study may be asked for there: the functions answer as if there were only its own."""
    routes = [
        (path, uid) for path in ("/dicomweb/studies", "/dicomweb/studies/{studyUID}/series") for uid in ("1.2.3", "9")
    ]
    for path, uid in routes:
        for role, reached in (("diagnostic", True), ("patient", False), ("", False)):
            exam = Principal("otp", "exam", study_uid="1.2.3", context={"examRole": role})
            assert exam.reaches("GET", path, {"studyUID": uid}) is reached
            assert not exam.reaches("POST", path, {"studyUID": uid})
        assert Principal("reader", "reader").reaches("GET", path, {"studyUID": uid})
        assert not Principal("callback", "callback").reaches("GET", path, {"studyUID": uid})
    exam = Principal("otp", "exam", study_uid="1.2.3", context={"examRole": "diagnostic"})
    assert not exam.reaches("GET", "/dicomwebs/studies", {})


def test_a_known_key_gets_a_policy_for_this_request_alone() -> None:
    policy = Authorizer([keys()]).decide(event("POST", "/exams", "good"))
    assert effect(policy) == "Allow"
    assert policy["policyDocument"]["Statement"][0]["Resource"].endswith("/GET/whatever")
    assert policy["context"] == {"principal": "clinic", "role": "service"}


def test_a_key_that_does_not_reach_is_denied_and_an_unknown_one_is_unauthorized() -> None:
    assert effect(Authorizer([keys()]).decide(event("POST", "/exams", "look"))) == "Deny"
    for token in ("bad", "odd", hashlib.sha256(b"good").hexdigest()):
        with pytest.raises(Unauthorized):
            Authorizer([keys()]).decide(event("POST", "/exams", token))


def test_the_callback_key_opens_the_callback_only() -> None:
    authorizer = Authorizer([keys(), CallbackKey(FixedSecret({"secret": "new", "old_secret": "old"}))])
    for token in ("new", "old"):
        assert effect(authorizer.decide(event("POST", "/new-exam-callback", token))) == "Allow"
        assert effect(authorizer.decide(event("GET", "/exams/studies", token))) == "Deny"
    assert effect(authorizer.decide(event("POST", "/new-exam-callback", "good"))) == "Deny"


def test_an_empty_callback_secret_lets_nobody_in() -> None:
    assert CallbackKey(FixedSecret({"secret": ""})).find("") is None


@pytest.mark.parametrize("header", ["", "Basic Z29vZA==", "Bearer", "Bearer  ", "Bearer ü", "Bearer " + "x" * 9000])
def test_what_is_no_bearer_credential_is_unauthorized(header: str) -> None:
    with pytest.raises(Unauthorized):
        bearer_token({"Authorization": header})


class Issuer:
    """An identity provider's two documents, and how often they were asked for."""

    def __init__(self) -> None:
        self.key: Any = KEY
        self.kid = "k1"
        self.asked = 0
        self.down = False

    def fetch(self, url: str) -> Mapping[str, Any]:
        if self.down:
            self.asked += 1
            raise Unavailable("down")
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return {"jwks_uri": f"{ISSUER}/keys"}
        assert url == f"{ISSUER}/keys"
        self.asked += 1
        public = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        secret = {"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}
        return {"keys": [{**public, "kid": self.kid, "alg": "RS256"}, secret, {"kty": "new", "kid": "k9"}]}


def token(key: Any = KEY, *, algorithm: str = "RS256", kid: str = "k1", **changes: Any) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "dr", "exp": time.time() + 300, **changes}
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid})


def test_a_valid_token_speaks_for_its_subject() -> None:
    found = OidcVerifier(ISSUER, AUDIENCE, fetch=Issuer().fetch).find(token())
    assert found == Principal("oidc:dr", "reader")


ROLES = RoleClaims("realm_access.roles", role_map("imaging-portal = service, imaging-viewer=reader"))


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({}, "none"),
        ({"realm_access": {"roles": ["imaging-portal"]}}, "service"),
        ({"realm_access": {"roles": ["imaging-viewer", "imaging-portal"]}}, "service"),
        ({"realm_access": {"roles": "openid imaging-portal"}}, "service"),
        ({"realm_access": {"roles": ["imaging-viewer"]}}, "reader"),
        ({"realm_access": {"roles": ["Imaging-Portal", "service", None, 1, ["imaging-portal"]]}}, "none"),
        ({"realm_access": ["imaging-portal"], "roles": ["imaging-portal"]}, "none"),
        ({"realm_access.roles": ["imaging-portal"]}, "service"),
    ],
)
def test_a_claim_gives_the_role_it_is_mapped_to(claims: dict[str, Any], role: str) -> None:
    found = OidcVerifier(ISSUER, AUDIENCE, ROLES, fetch=Issuer().fetch).find(token(**claims))
    assert found == Principal("oidc:dr", role)


@pytest.mark.parametrize(
    ("roles", "default", "role"),
    [
        ({}, None, "reader"),
        ({}, "none", "none"),
        ({"a": "service"}, None, "none"),
        ({"a": "service"}, "reader", "reader"),
        ({"a": "service"}, "none", "none"),
    ],
)
def test_whom_nothing_gives_a_role_is_a_reader_only_without_roles_or_where_that_is_wanted(
    roles: dict[str, str], default: str | None, role: str
) -> None:
    wanted = RoleClaims("roles", roles, default)
    found = OidcVerifier(ISSUER, AUDIENCE, wanted, fetch=Issuer().fetch).find(token(roles=["b"]))
    assert found == Principal("oidc:dr", role)
    # Control: who has one has it.
    assert wanted.role({"roles": ["a"]}) == (roles.get("a") or role)


@pytest.mark.parametrize(("setting", "role"), [({}, "none"), ({"OIDC_DEFAULT_ROLE": "reader"}, "reader")])
def test_the_settings_say_what_is_the_default(
    setting: dict[str, str], role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"SERVICE_KEYS_SECRET_ARN": "a", "CALLBACK_SECRET_ARN": "b", "ACCESS_TOKENS_TABLE": "c", "OTPS_TABLE": "d"}
    own = {"OIDC_ISSUER": ISSUER, "OIDC_AUDIENCE": AUDIENCE, "OIDC_ROLES": "a=service", **setting}
    for name, value in (given | own).items():
        monkeypatch.setenv(name, value)
    made: list[RoleClaims] = []

    def verifier(_: str, __: str, roles: RoleClaims, **___: str) -> OidcVerifier:
        made.append(roles)
        return OidcVerifier(ISSUER, AUDIENCE, roles)

    monkeypatch.setattr("dicom_service.auth.authorizer.OidcVerifier", verifier)
    Authorizer.from_settings(load(AuthSettings))
    assert [roles.role({}) for roles in made] == [role]


def test_the_role_none_reaches_no_route() -> None:
    seen = 0
    for method, resource in ROUTES:
        assert not Principal("oidc:dr", "none").reaches(method, resource, {"studyUID": "1.2"}), resource
        seen += Principal("clinic", "service").reaches(method, resource, {"studyUID": "1.2"})
    assert seen >= 40
    with pytest.raises(ValueError, match="reader or none"):
        default_role("service")


@pytest.mark.parametrize("text", ["imaging-portal", "a=emperor", "=service", "a=exam", "a=service,b"])
def test_a_mapping_that_makes_no_sense_is_an_error_of_the_settings(text: str) -> None:
    with pytest.raises(ValueError, match="value=role"):
        role_map(text)


@pytest.mark.parametrize(
    "bad",
    [
        token(exp=time.time() - 3600),
        token(exp=None),
        token(nbf=time.time() + 3600),
        token(iss="https://evil.example.org"),
        token(aud="another"),
        token(rsa.generate_private_key(65537, 2048)),
        token(ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
        token("c" * 64, algorithm="HS256", kid="shared"),
        token(None, algorithm="none"),
        token(kid="unknown"),
        token()[:-4] + "AAAA",
        "not.a.token",
    ],
    ids=range(12),
)
def test_any_other_token_speaks_for_nobody(bad: str) -> None:
    assert OidcVerifier(ISSUER, AUDIENCE, fetch=Issuer().fetch).find(bad) is None


def test_new_keys_are_found_and_unknown_key_ids_do_not_flood_the_issuer() -> None:
    issuer, now = Issuer(), [0.0]
    verifier = OidcVerifier(ISSUER, AUDIENCE, fetch=issuer.fetch, clock=lambda: now[0])
    assert verifier.find(token())
    for _ in range(50):
        verifier.find(token(kid="stranger"))
    assert issuer.asked == 1
    # WHEN the issuer changes its key
    issuer.key, issuer.kid = rsa.generate_private_key(65537, 2048), "k2"
    now[0] += 31
    assert verifier.find(token(issuer.key, kid="k2"))
    assert issuer.asked == 2


def test_keys_read_before_are_good_while_the_issuer_is_down_but_not_for_ever() -> None:
    issuer, now = Issuer(), [0.0]
    verifier = OidcVerifier(ISSUER, AUDIENCE, fetch=issuer.fetch, clock=lambda: now[0])
    assert verifier.find(token())
    issuer.down, issuer.asked = True, 0
    # WHEN the keys are due to be read again THEN the old ones serve, and the issuer is not flooded
    for _ in range(50):
        now[0] += 30
        assert verifier.find(token())
    assert 10 <= issuer.asked <= 25
    # a key id nobody knows stays unknown, whether the issuer is asked or not
    with pytest.raises(Unavailable):
        now[0] += 31
        verifier.find(token(kid="k2"))
    # WHEN they are too old THEN nobody can tell who is withdrawn
    now[0] = STALE_FOR + 1
    with pytest.raises(Unavailable):
        verifier.find(token())
    # WHEN the issuer is back THEN all is well
    issuer.down = False
    assert verifier.find(token())


def key_until(not_after: object) -> ServiceKeys:
    entry = {"name": "guest", "role": "reader", "sha256": hashlib.sha256(b"good").hexdigest(), "notAfter": not_after}
    noon = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)
    return ServiceKeys(FixedSecret({"keys": [entry]}), clock=lambda: noon)


@pytest.mark.parametrize(
    ("not_after", "known"),
    [
        (None, True),
        ("2026-11-24T12:00:00Z", True),
        ("2026-11-24T11:59:59Z", False),
        ("2026-11-24T12:30:00+01:00", False),
        ("2026-11-24T12:30:00-01:00", True),
        ("2027-01-01T00:00:00", False),
        ("2027-01-01", False),
        ("next year", False),
        ("", False),
        (4102444800, False),
    ],
)
def test_a_key_ends_when_its_entry_says_so_and_at_once_when_that_cannot_be_read(not_after: object, known: bool) -> None:
    assert (key_until(not_after).find("good") is not None) is known
