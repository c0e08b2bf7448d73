"""REQUEST authorizer of every route that needs a credential: identifies the caller and checks its access."""

from typing import Any

from dicom_service import metrics
from dicom_service.audit.dependencies import recorder
from dicom_service.auth.dependencies import authorizer
from dicom_service.errors import Unauthorized


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    try:
        # Lambda's own count of errors has every 401 in it.
        with metrics.failures("AuthorizerFailures", but=Unauthorized):
            return _decide(event)
    except Unauthorized:
        # API Gateway returns 401 for exactly this text and 500 for any other error.
        raise Exception("Unauthorized") from None


def _decide(event: dict[str, Any]) -> dict[str, Any]:
    try:
        policy = authorizer().decide(event)
    except Unauthorized:
        recorder().reject(event, None)
        raise
    if policy["policyDocument"]["Statement"][0]["Effect"] == "Deny":
        recorder().reject(event, policy["context"])
    return policy
