"""DELETE /otps/{otpId} and DELETE /otps: revoke one-time passwords and their access tokens."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, empty, serve
from dicom_service.otp.dependencies import manager
from dicom_service.otp.inputs import actor, subject

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


lambda_handler = serve(app)
