"""Runs `sam deploy` to the local stack, and fills a fresh stack's secrets: keys and credentials."""

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.build import LAMBDA_ARCHITECTURE, PYTHON_VERSION, ensure_build, sam, tool_environment
from local.orthanc import Orthanc
from local.processes import http_status
from local.settings import (
    ADMINISTRATOR,
    REGION,
    STACK_NAME,
    STAGE,
    LocalStackError,
    Pacs,
    Settings,
    say,
    write_private,
)
from local.template import load_template

# The name of the stack's own service key.
LOCAL = "local"
_ARTIFACTS = "sam-artifacts"
# The state of the deployment is stored in the emulated cloud itself: killed, that falls back to an earlier state.
_RECORD = "/local/deployed"


def override(name: str, value: str) -> str:
    """Write a parameter for `sam deploy`, which takes an empty value in quotes only.

    An empty value has to be said: a parameter that is left out keeps the value of the last deployment.
    """
    return '{}="{}"'.format(name, value.replace('"', '\\"'))


@dataclass(frozen=True)
class Keys:
    """The credentials of the local stack, made once."""

    service: str
    callback: str
    auditor: str


class Deployment:
    """The deployed template of one local stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def client(self, service: str) -> Any:
        """Return a boto3 client that acts as the local administrator."""
        return boto3.client(  # type: ignore[call-overload]
            service,
            endpoint_url=self._settings.endpoint,
            region_name=REGION,
            aws_access_key_id=ADMINISTRATOR["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ADMINISTRATOR["AWS_SECRET_ACCESS_KEY"],
        )

    def ensure(self, pacs: Pacs) -> dict[str, str]:
        """Deploy unless exactly this is deployed already, then fill the secrets; return the stack's outputs."""
        key, template = ensure_build()
        parameters = self._parameters(pacs)
        wanted = {"build": key, "endpoint": self._settings.endpoint, "parameters": parameters}
        if self._known() != wanted or self._status() not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            self._deploy(template, parameters)
            self.client("ssm").put_parameter(Name=_RECORD, Value=json.dumps(wanted), Type="String", Overwrite=True)
        outputs = self.outputs()
        self._fill_secrets(outputs, pacs)
        return outputs

    def outputs(self) -> dict[str, str]:
        stack = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def keys(self) -> Keys:
        """Return the keys of this stack; made on first use, kept until `make reset`."""
        path = self._settings.state / "keys.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        prefixes = {"service": "dsk", "callback": "dcb", "auditor": "dak"}
        made = {name: known.get(name) or f"{prefix}_{secrets.token_urlsafe(32)}" for name, prefix in prefixes.items()}
        if made != known:
            write_private(path, json.dumps(made))
        return Keys(**made)

    def api_url(self) -> str:
        """Return the API's base URL, which contains the id that the API got when it was created."""
        return self._public_url().format(apiId=self.outputs()["ApiId"])

    def _public_url(self) -> str:
        return f"{self._settings.endpoint}/_aws/execute-api/{{apiId}}/{STAGE}"

    def wait_until_healthy(self, seconds: float = 90) -> None:
        """Wait until GET /health is 200.

        Raises
        ------
        LocalStackError
            It did not in time.
        """
        url = f"{self.api_url()}/health"
        deadline = time.monotonic() + seconds
        while (status := http_status(url, timeout=30)) != 200:
            if time.monotonic() > deadline:
                log = self._settings.state / "ministack.log"
                raise LocalStackError(f"GET {url} still answers {status} after {seconds:.0f} s; see {log}")
            time.sleep(0.5)

    def _parameters(self, pacs: Pacs) -> dict[str, str]:
        # The stack's own Orthanc shows the worklist to modalities; another PACS is not written to.
        files = "" if self._settings.external_pacs else str(Orthanc(self._settings).worklists)
        return {
            "PythonRuntime": f"python{PYTHON_VERSION}",
            "Architecture": LAMBDA_ARCHITECTURE,
            "StageName": STAGE,
            "LocalMode": "true",
            "PublicUrl": self._public_url(),
            "PacsUrl": pacs.url,
            "PacsAuth": pacs.auth,
            "PacsQuirks": pacs.quirks,
            "WorklistFiles": files,
            **self._settings.parameters,
        }

    def _deploy(self, template: Path, parameters: dict[str, str]) -> None:
        say("Deploying the template")
        self._make_artifact_bucket()
        if (self._status() or "").startswith("ROLLBACK"):
            self.client("cloudformation").delete_stack(StackName=STACK_NAME)
        sam(
            *("deploy", "--template-file", str(template), "--stack-name", STACK_NAME, "--region", REGION),
            *("--s3-bucket", _ARTIFACTS, "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"),
            *("--no-fail-on-empty-changeset", "--no-progressbar", "--parameter-overrides"),
            *(override(name, value) for name, value in parameters.items()),
            environment=tool_environment() | self._settings.aws_environment(),
        )
        self._put_gateway_responses(template)

    def _put_gateway_responses(self, template: Path) -> None:
        """Apply the template's GatewayResponses: MiniStack ignores that part of an API's definition."""
        gateway = self.client("apigateway")
        api_id = self.outputs()["ApiId"]
        properties = load_template(template)["Resources"]["Api"]["Properties"]
        for name, response in properties["GatewayResponses"].items():
            headers = response.get("ResponseParameters", {}).get("Headers", {})
            extra = {"statusCode": str(response["StatusCode"])} if "StatusCode" in response else {}
            gateway.put_gateway_response(
                restApiId=api_id,
                responseType=name,
                responseParameters={f"gatewayresponse.header.{header}": value for header, value in headers.items()},
                responseTemplates=response["ResponseTemplates"],
                **extra,
            )
        gateway.create_deployment(restApiId=api_id, stageName=STAGE)

    def _make_artifact_bucket(self) -> None:
        s3 = self.client("s3")
        if _ARTIFACTS not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
            s3.create_bucket(Bucket=_ARTIFACTS)

    def _status(self) -> str | None:
        try:
            stacks = self.client("cloudformation").describe_stacks(StackName=STACK_NAME)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return str(stacks[0]["StackStatus"])

    def _known(self) -> object:
        found = self.client("ssm").get_parameters(Names=[_RECORD])["Parameters"]
        return json.loads(found[0]["Value"]) if found else None

    def _fill_secrets(self, outputs: dict[str, str], pacs: Pacs) -> None:
        keys = self.keys()
        known = ((LOCAL, "service", keys.service), ("auditor", "auditor", keys.auditor))
        values = {
            "ServiceKeysSecret": {"keys": [_entry(name, role, key) for name, role, key in known]},
            "PacsSecret": {"username": pacs.user, "password": pacs.password},
            "CallbackSecret": {"secret": keys.callback},
        }
        manager = self.client("secretsmanager")
        for output, value in values.items():
            text = json.dumps(value)
            if manager.get_secret_value(SecretId=outputs[output])["SecretString"] != text:
                manager.put_secret_value(SecretId=outputs[output], SecretString=text)


def _entry(name: str, role: str, key: str) -> dict[str, str]:
    return {"name": name, "role": role, "sha256": hashlib.sha256(key.encode()).hexdigest()}
