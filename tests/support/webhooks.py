"""A webhook receiver of our own, and the deployed functions pointed at it."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import standardwebhooks

from dicom_service.notifications.signing import endpoint_secrets
from tests.support.stack import Stack


@dataclass(frozen=True)
class Delivery:
    """One webhook as it came in."""

    path: str
    headers: dict[str, str]
    payload: bytes
    body: dict[str, Any]
    at: float


@dataclass
class Receiver:
    """A receiver that verifies what it gets, and fails for the paths that say so."""

    keys: dict[str, Any]
    statuses: dict[str, int] = field(default_factory=dict)
    pauses: dict[str, float] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    answered: list[tuple[str, int]] = field(default_factory=list)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def start(self) -> None:
        """Listen; on the port it had before when it was stopped."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *_: Any) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, request: BaseHTTPRequestHandler) -> None:
        payload = request.rfile.read(int(request.headers["Content-Length"]))
        time.sleep(self.pauses.get(request.path, 0))
        status = self.statuses.get(request.path, 204)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if status == 204:
            secret = endpoint_secrets(self.keys, self.url(request.path))[0]
            try:
                body = standardwebhooks.Webhook(secret).verify(payload, headers)
            except standardwebhooks.WebhookVerificationError:
                status = 401
                self.rejected.append(request.path)
            else:
                self.deliveries.append(Delivery(request.path, headers, payload, body, time.monotonic()))
        self.answered.append((request.path, status))
        request.send_response(status)
        request.send_header("Location", "http://169.254.169.254/latest/meta-data/")
        request.end_headers()

    def of(self, study: str, path: str = "/hook") -> list[dict[str, Any]]:
        """Return the deliveries of one study at one path, a repetition (same webhook-id) once."""
        found = {
            delivery.headers["webhook-id"]: delivery.body["data"]
            for delivery in list(self.deliveries)
            if delivery.path == path and delivery.body["data"].get("StudyInstanceUID") == study
        }
        return list(found.values())


def point_webhooks(stack: Stack, urls: list[str], delays: str, wanted: str = "envelope") -> None:
    """Give the deployed functions these URLs, schedule and format, as a deployment with other parameters would."""
    functions = stack.client("lambda")
    for page in functions.get_paginator("list_functions").paginate():
        for function in page["Functions"]:
            name = function["FunctionName"]
            if "FanOutWebhooks" in name or "DeliverWebhook" in name:
                variables = {**function["Environment"]["Variables"], "CALLBACK_URLS": ",".join(urls)}
                variables |= {"WEBHOOK_RETRY_DELAYS": delays, "CALLBACK_FORMAT": wanted}
                functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


@contextlib.contextmanager
def receiving(
    stack: Stack, paths: Sequence[str], delays: str, wanted: str = "envelope", others: Sequence[str] = ()
) -> Iterator[Receiver]:
    """Run a receiver and point the deployed functions at these of its paths, and at other URLs."""
    secret = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["WebhookKeysSecret"])
    receiver = Receiver(json.loads(secret["SecretString"]))
    receiver.start()
    point_webhooks(stack, [*(receiver.url(path) for path in paths), *others], delays, wanted)
    try:
        yield receiver
    finally:
        point_webhooks(stack, [], "")
        receiver.stop()


def dead_webhooks(stack: Stack) -> int:
    """Return how many webhooks are dead letters."""
    queue, names = stack.outputs["DeadWebhooksQueue"], ["ApproximateNumberOfMessages"]
    found = stack.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return int(found[names[0]])
