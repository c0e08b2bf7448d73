"""POST /otps/redeem: exchange a one-time password for an access token, exactly once per use."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, serve
from dicom_service.otp.dependencies import redeemer
from dicom_service.otp.inputs import address, redeem_request

app = create_app()


@app.post("/otps/redeem")
def redeem_otp() -> Response[Any]:
    return answer(redeemer().redeem(redeem_request(app), address(app)))


lambda_handler = serve(app)
