"""DELETE /otps/{otpId}: the end of a one-time password and of every access token it gave."""

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import create_app, empty, serve
from dicom_service.otp.factory import manager
from dicom_service.otp.inputs import actor

app = create_app()


@app.delete("/otps/<otp_id>")
def revoke_otp(otp_id: str) -> Response[str]:
    manager().revoke(otp_id, actor(app))
    return empty()


lambda_handler = serve(app)
