"""An access token against every route, method and study, and against paths that two readers may read differently."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.otp_stack import StoredExam, issue, redeem
from tests.support.stack import Stack

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OWN = "/exams/studies/{studyUID}"
# Of the own study too, but not for access tokens: what the PACS reported, and who saw it.
FOR_STAFF = {f"{OWN}/callbacks", f"{OWN}/accesses"}
REPORT = f"{OWN}/series/{{seriesUID}}/instances/{{instanceUID}}/report"
ARCHIVE = f"{OWN}/archive"
# No archive was asked for, and the instance is a picture: what is within reach answers that there is none.
ABSENT = {REPORT: 404, ARCHIVE: 404}
# Not to read, but for access tokens: they have tests of their own.
BESIDES = {("delete", "/access-token"), ("post", ARCHIVE)}


@pytest.fixture(scope="module")
def token(stack: Stack, exam: StoredExam) -> str:
    return redeem(stack, issue(stack, exam, expiresIn=86_400))


def routes(stack: Stack) -> dict[str, dict[str, Any]]:
    document = stack.request("GET", "/openapi.json", key=None).json()
    paths: dict[str, dict[str, Any]] = document["paths"]
    return paths


def is_own(template: str) -> bool:
    return (template == OWN or template.startswith(OWN + "/")) and template not in FOR_STAFF


def fill(template: str, exam: StoredExam) -> str:
    query = "?fileType=image/jpeg" if template.endswith("{instanceUID}") else ""
    values = {"studyUID": exam.study_uid, "seriesUID": exam.series_uid, "instanceUID": exam.instance_uid}
    for name, value in values.items():
        template = template.replace("{" + name + "}", value)
    return template.replace("{", "").replace("}", "") + query


def raw(stack: Stack, path: str, token: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    """Send a path exactly as written, which `requests` would tidy first."""
    url = urlsplit(stack.api_url)
    connection = http.client.HTTPConnection(str(url.hostname), url.port, timeout=60)
    try:
        connection.request(method, url.path + path, headers={"Authorization": f"Bearer {token}", **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_every_route_of_the_contract(stack: Stack, token: str, exam: StoredExam, other_exam: StoredExam) -> None:
    """GET of the own study answers; every other secured route is rejected, and so is every other study."""
    own = foreign = other = 0
    for template, operations in routes(stack).items():
        for method, operation in operations.items():
            if operation.get("security") == [] or (method, template) in BESIDES:
                continue
            status = stack.request(method.upper(), fill(template, exam), key=token).status_code
            if method == "get" and is_own(template):
                assert status == ABSENT.get(template, 200), (method, template, status)
                own += 1
                assert stack.request("GET", fill(template, other_exam), key=token).status_code == 403, template
                foreign += 1
            else:
                assert status == 403, (method, template, status)
                other += 1
    print(f"access token: {own} routes open, {other} others rejected, {foreign} rejected for another study")
    assert {*FOR_STAFF, *ABSENT} <= routes(stack).keys()
    assert stack.request("POST", fill(ARCHIVE, other_exam), key=token).status_code == 403
    assert own >= 7
    assert other >= 20


def decide(stack: Stack, token: str, method: str, resource: str, path: str) -> str:
    """Ask the deployed authorizer itself: for a method without a route the gateway answers before it does."""
    functions = stack.client("lambda")
    pages = functions.get_paginator("list_functions").paginate()
    [name] = [
        one["FunctionName"] for page in pages for one in page["Functions"] if "AuthorizeFunction" in one["FunctionName"]
    ]
    arn = f"arn:aws:execute-api:us-east-1:000000000000:{stack.outputs['ApiId']}/v1/{method}{path}"
    event: dict[str, Any] = {
        "type": "REQUEST",
        "methodArn": arn,
        "resource": resource,
        "path": path,
        "httpMethod": method,
    }
    event |= {"pathParameters": {"studyUID": path.split("/")[3]}}
    headers = {"Authorization": f"Bearer {token}"}
    event |= {"headers": headers, "multiValueHeaders": {key: [value] for key, value in headers.items()}}
    answer = json.loads(functions.invoke(FunctionName=name, Payload=json.dumps(event).encode())["Payload"].read())
    if "policyDocument" not in answer:
        # What is no route ends it, which the gateway answers with 500: nobody gets in.
        assert "errorMessage" in answer
        return "Deny"
    [statement] = answer["policyDocument"]["Statement"]
    return str(statement["Effect"])


def test_no_method_but_get_on_any_path_and_post_of_the_archive(stack: Stack, token: str, exam: StoredExam) -> None:
    seen = 0
    for template in routes(stack):
        if template.startswith(OWN):
            path = fill(template, exam).partition("?")[0]
            effects = {method: decide(stack, token, method, template, path) for method in METHODS}
            wanted = dict.fromkeys(METHODS, "Deny") | {"GET": "Allow" if is_own(template) else "Deny"}
            wanted |= {"POST": "Allow"} if template == ARCHIVE else {}
            assert effects == wanted, template
            seen += 1
    assert seen >= 5


def test_control_the_service_key_is_not_rejected_where_the_token_is(
    stack: Stack, exam: StoredExam, other_exam: StoredExam
) -> None:
    """GIVEN the same requests with a credential that reaches them THEN none is rejected: it was the token's limits."""
    reached = 0
    for template, operations in routes(stack).items():
        if "get" in operations and template.startswith(OWN):
            for some in (exam, other_exam):
                status = stack.request("GET", fill(template, some)).status_code
                assert status == ABSENT.get(template, 200), (template, status)
                reached += 1
    assert reached >= 10


def test_paths_that_two_readers_may_read_differently(
    stack: Stack, token: str, exam: StoredExam, other_exam: StoredExam
) -> None:
    own, other = exam.study_uid, other_exam.study_uid
    root = "/exams/studies"
    # Tidied by the gateway or spelled as no route is, or below the own study and of no instance of it.
    nowhere = [
        f"{root}/{own}/../{other}/series",
        f"{root}/{own}/%2e%2e/{other}/series",
        f"{root}/{own}/%2E%2E/{other}/series",
        f"{root}/{own}/..%2f{other}/series",
        f"{root}/{own}%2f..%2f{other}/series",
        f"{root}/{own}/series/..%2f..%2f{other}%2fseries/x/instances",
        f"{root}/{own}//../{other}/series",
        f"{root}/./{other}/series",
        f"{root}/{other}/series/../../{own}/series",
        f"/EXAMS/studies/{other}/series",
        f"/Exams/Studies/{other}/series",
        f"{root}/{own}/../../../otps",
        f"{root}/{own}/series/{other_exam.series_uid}/instances",
        f"{root}/{own}/series/{other_exam.series_uid}/thumbnail",
        f"{root}/{own}/series/{other_exam.series_uid}/instances/{other_exam.instance_uid}?fileType=application/dicom",
        f"{root}/{own}/series/{exam.series_uid}/instances/{other_exam.instance_uid}?fileType=image/jpeg",
    ]
    # These reach the authorizer, as other studies or as several.
    rejected = [
        f"{root}/{own}%252f..%252f{other}/series",
        f"{root}//{other}/series",
        f"//exams/studies/{other}/series",
        f"{root}/{other}/series?studyUID={own}",
        f"{root}/{other}%00{own}/series",
        f"{root}/{other};{own}/series",
        f"{root}/{own},{other}/series",
        f"{root}/{own}%5c{other}/series",
        f"{root}/{own}%2c{other}/series",
        f"{root}/{own}*/series",
        f"{root}/*/series",
        f"{root}?studyUID={own}",
        f"{root}?patientID={other_exam.patient_id}",
        f"{root}/?studyUID={own}",
        f"{root}/{other}/thumbnail",
    ]
    for path, wanted in (*dict.fromkeys(nowhere, 404).items(), *dict.fromkeys(rejected, 403).items()):
        status, body = raw(stack, path, token)
        assert status == wanted, (path, status, body[:200])
        assert other_exam.instance_uid.encode() not in body, path
    assert (len(nowhere), len(rejected)) == (16, 15)
    for name in ("X-HTTP-Method-Override", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        status, body = raw(stack, f"{root}/{own}/series", token, **{name: f"{root}/{other}/series"})
        assert (status, exam.series_uid.encode() in body) == (200, True), name
        assert other_exam.series_uid.encode() not in body
    print(f"{len(nowhere) + len(rejected)} path tricks and 4 rewriting headers: no other study reached")


def test_control_the_other_study_is_there_to_be_reached(stack: Stack, other_exam: StoredExam) -> None:
    status, body = raw(stack, f"{other_exam.path}/series", stack.service_key)

    assert status == 200
    assert other_exam.series_uid.encode() in body


def test_truncated_altered_and_foreign_tokens(stack: Stack, token: str, exam: StoredExam) -> None:
    middle = len(token) // 2
    altered = token[:middle] + ("A" if token[middle] != "A" else "B") + token[middle + 1 :]
    bad = [token[:-1], token + "A", altered, token[5:], token.upper(), "exam_" + "A" * 43, "exam_", "Bearer"]
    for value in bad:
        assert stack.request("GET", f"{exam.path}/series", key=value).status_code == 401, value
    assert stack.request("GET", f"{exam.path}/series", key=token).status_code == 200


def test_a_code_or_an_id_is_no_credential(stack: Stack, exam: StoredExam) -> None:
    issued = issue(stack, exam)
    for value in (issued["token"], issued["otp"], issued["otpId"]):
        assert stack.request("GET", f"{exam.path}/series", key=value).status_code == 401
