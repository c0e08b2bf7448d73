"""A custom domain, in the four shapes in which API Gateway tells of a request."""

import json
from typing import Any

import pytest

from dicom_service.edge import answer, base_url, create_app, serve_open

STUDY = "1.2.840.1"
RESOURCE = "/exams/studies/{studyUID}/series"
ROUTE = "/exams/studies/<study_uid>/series"
INNER = f"/exams/studies/{STUDY}/series"
GATEWAY = "abc.execute-api.eu-central-1.amazonaws.com"
OWN = "dicom.example.org"

# path and requestContext.path as API Gateway gives them, and the URL that links begin with
SHAPES = {
    "execute-api": (GATEWAY, INNER, f"/v1{INNER}", f"https://{GATEWAY}/v1"),
    "no base path": (OWN, INNER, INNER, f"https://{OWN}"),
    "the stage's name": (OWN, f"/v1{INNER}", f"/v1{INNER}", f"https://{OWN}/v1"),
    "two segments": (OWN, f"/imaging/pacs{INNER}", f"/imaging/pacs{INNER}", f"https://{OWN}/imaging/pacs"),
}


def event(shape: str, **authorizer: str) -> dict[str, Any]:
    domain, path, full, _ = SHAPES[shape]
    return {
        "httpMethod": "GET",
        "path": path,
        "resource": RESOURCE,
        "headers": {"host": domain},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"studyUID": STUDY},
        "requestContext": {
            "requestId": "r",
            "stage": "v1",
            "domainName": domain,
            "path": full,
            "authorizer": authorizer,
        },
        "body": None,
        "isBase64Encoded": False,
    }


def ask(given: dict[str, Any]) -> dict[str, Any]:
    app = create_app()
    app.get(ROUTE)(lambda study_uid: answer({"study": study_uid, "base": base_url(app)}))
    return serve_open(app)(given, None)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_route_is_found_and_links_are_the_callers(shape: str) -> None:
    answered = ask(event(shape))
    assert answered["statusCode"] == 200
    assert json.loads(answered["body"]) == {"study": STUDY, "base": SHAPES[shape][3]}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_exam_token_reaches_its_study_and_no_other(shape: str) -> None:
    assert ask(event(shape, role="exam", studyUID=STUDY))["statusCode"] == 200
    assert ask(event(shape, role="exam", studyUID="1.2.840.2"))["statusCode"] == 403


@pytest.mark.parametrize("path", [f"/v1/exams/studies/{STUDY}%2Fx/series", "/v1/exams/studies/../x/series", "/v1"])
def test_a_path_that_does_not_fit_its_route_is_left_and_reaches_nothing(path: str) -> None:
    given = event("the stage's name", role="exam", studyUID=STUDY) | {"path": path}
    assert ask(given)["statusCode"] == 403


def test_what_no_route_matches_is_read_without_the_base_path_too() -> None:
    """The function of all other paths looks up the methods of a known path."""
    given = event("the stage's name") | {"resource": "/{proxy+}", "pathParameters": {"proxy": "uid"}, "path": "/v1/uid"}
    app = create_app()
    app.route(".*", method=["GET"])(lambda: answer({"path": app.current_event.path}))
    assert json.loads(serve_open(app)(given, None)["body"]) == {"path": "/uid"}
