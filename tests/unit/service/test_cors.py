"""Pages of other origins: those that are named may call the API, others and none get what they got before."""

from typing import Any

import pytest

from dicom_service.edge import answer, create_app, serve_open
from tests.support.transformed import resources

PORTAL, ELSEWHERE = "https://portal.example.org", "https://elsewhere.example"


def ask(
    origin: str | None, *, method: str = "GET", origins: str | None = f"https://a.example,{PORTAL}"
) -> dict[str, Any]:
    app = create_app()
    app.get("/uid")(lambda: answer({}, headers={"Vary": "Authorization"}))
    app.route("/uid", method="OPTIONS")(lambda: answer({}, 405))
    headers = {"Origin": origin} if origin else {}
    return serve_open(app)(
        {
            "httpMethod": method,
            "path": "/uid",
            "resource": "/uid",
            "headers": headers | ({"Access-Control-Request-Method": "GET"} if method == "OPTIONS" else {}),
            "stageVariables": {"corsOrigins": origins} if origins is not None else None,
            "requestContext": {"requestId": "r", "path": "/v1/uid"},
        },
        None,
    )


def test_a_page_that_is_named_may_read_the_answer() -> None:
    answered = ask(PORTAL)
    assert answered["statusCode"] == 200
    assert answered["multiValueHeaders"]["Access-Control-Allow-Origin"] == [PORTAL]
    assert answered["multiValueHeaders"]["Vary"] == ["Authorization", "Origin"]


@pytest.mark.parametrize("origin", [ELSEWHERE, "https://portal.example.org.elsewhere.example", "null", "*", None])
@pytest.mark.parametrize("origins", [f"https://a.example,{PORTAL}", "", None])
def test_no_other_page_may(origin: str | None, origins: str | None) -> None:
    for method in ("GET", "OPTIONS"):
        answered = ask(origin, method=method, origins=origins)
        assert not [name for name in answered["multiValueHeaders"] if name.startswith("Access-Control-")]
        assert answered["statusCode"] == {"GET": 200, "OPTIONS": 405}[method]


def test_a_browser_that_asks_beforehand_is_told_what_it_may_send() -> None:
    answered = ask(PORTAL, method="OPTIONS")
    assert answered["statusCode"] == 204
    headers = answered["multiValueHeaders"]
    assert headers["Access-Control-Allow-Origin"] == [PORTAL]
    assert "Authorization" in headers["Access-Control-Allow-Headers"][0]
    assert "PATCH" in headers["Access-Control-Allow-Methods"][0]


def test_the_buckets_take_presigned_requests_of_pages() -> None:
    """Without ETag in sight no page can complete a file that it sent in parts."""
    (staging,) = resources("AWS::S3::Bucket")["StagingBucket"]["CorsConfiguration"]["CorsRules"]
    assert {"PUT", "POST"} <= set(staging["AllowedMethods"])
    assert staging["ExposedHeaders"] == ["ETag"]
    (cache,) = resources("AWS::S3::Bucket")["CacheBucket"]["CorsConfiguration"]["CorsRules"]
    for rule in (staging, cache):
        assert rule["AllowedOrigins"] == ["*"]
    (stage,) = resources("AWS::ApiGateway::Stage").values()
    joined = {"Fn::Join": [",", {"Ref": "CorsOrigins"}]}
    assert stage["Variables"] == {"Fn::If": ["HasCorsOrigins", {"corsOrigins": joined}, {"Ref": "AWS::NoValue"}]}
