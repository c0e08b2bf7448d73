"""DELETE /otps/{otpId} and /otps: revoke one-time passwords and their access tokens; DELETE /access-token: sign out."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, empty, serve
from dicom_service.otp.dependencies import access_tokens, manager
from dicom_service.otp.inputs import actor, signed_in, subject

app = create_app()


@app.delete("/otps/<otp_id>")
def revoke_otp(otp_id: str) -> Response[str]:
    manager().revoke(otp_id, actor(app))
    return empty()


@app.delete("/otps")
def revoke_otps() -> Response[Any]:
    whose = subject(app)
    revoked = manager().revoke_all(actor(app), study_uid=whose.study_uid, patient_id=whose.patient_id)
    return answer({"revoked": revoked})


@app.delete("/access-token")
def sign_out() -> Response[str]:
    access_tokens().end(signed_in(app))
    return empty()


lambda_handler = serve(app)
