"""Delivers each event to each URL of ``CALLBACK_URLS``: one queue message for each pair, tried for a day."""

import json
import random
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import urllib3

from dicom_service import aws, log, metrics
from dicom_service.aws.sqs_worker import DeadLetter, Done, Outcome, Queues, Retry
from dicom_service.errors import SettingsError
from dicom_service.notifications.addresses import Target, hosts, parse_target, resolve
from dicom_service.notifications.callback import read_callback
from dicom_service.notifications.endpoints import Endpoint, Endpoints
from dicom_service.notifications.errors import DeliveryFailed, WebhookError
from dicom_service.notifications.payload import ENVELOPE, PACS_EVENT, callback_format, pacs_event
from dicom_service.notifications.signing import endpoint_secrets, headers
from dicom_service.settings import flag, setting, words

logger = log.get_logger()

# Seconds before the second, third … attempt: 23.7 h in all. SQS hides a message for 12 h at most.
RETRY_DELAYS = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800, 28_800)
# A URL that is held (`endpoints`) is spared the first attempts; the later, rarer ones are always made.
_SPARED_ATTEMPTS = 4
_TIMEOUT = urllib3.Timeout(connect=3.0, read=10.0)


def delays(text: str) -> tuple[int, ...]:
    """Cast a list of seconds."""
    return tuple(int(word) for word in words(text))


@dataclass(frozen=True)
class FanOutSettings:
    """The URLs to notify, the queue of webhooks, and the queue that the bus brings events by."""

    queue_url: str = setting("WEBHOOKS_QUEUE_URL")
    events_queue_url: str = setting("ANNOUNCED_QUEUE_URL")
    dead_events_queue_url: str = setting("DEAD_ANNOUNCED_QUEUE_URL")
    urls: tuple[str, ...] = setting("CALLBACK_URLS", cast=words, default=())

    @property
    def queues(self) -> Queues:
        """The queue of events and its dead letters."""
        return Queues(self.events_queue_url, self.dead_events_queue_url)


@dataclass(frozen=True)
class WebhookSettings:
    """How webhooks are delivered."""

    queue_url: str = setting("WEBHOOKS_QUEUE_URL")
    dead_queue_url: str = setting("DEAD_WEBHOOKS_QUEUE_URL")
    table: str = setting("EXAM_EVENTS_TABLE")
    keys_arn: str = setting("WEBHOOK_KEYS_SECRET_ARN")
    urls: tuple[str, ...] = setting("CALLBACK_URLS", cast=words, default=())
    local: bool = setting("LOCAL_MODE", cast=flag, default=False)
    delays: tuple[int, ...] = setting("WEBHOOK_RETRY_DELAYS", cast=delays, default=RETRY_DELAYS)
    format: str = setting("CALLBACK_FORMAT", cast=callback_format, default=ENVELOPE)
    private_hosts: frozenset[str] = setting("CALLBACK_PRIVATE_HOSTS", cast=hosts, default=frozenset())
    exams_table: str = setting("EXAMS_TABLE", default="")

    @property
    def queues(self) -> Queues:
        """The queue of webhooks and its dead letters."""
        return Queues(self.queue_url, self.dead_queue_url)


@aws.errors("The webhooks cannot be queued now.")
def fan_out(settings: FanOutSettings, bus_event: Mapping[str, Any]) -> Done:
    """Queue one message for each URL of an event that a rule of the bus has matched.

    Where the queue takes only some of them, all are queued again, and delivered again under the same id.
    """
    body = {"type": bus_event["detail-type"], "timestamp": bus_event["time"], "data": bus_event["detail"]}
    messages = [json.dumps({"url": url, "body": body}, separators=(",", ":")) for url in settings.urls]
    aws.send_all(settings.queue_url, messages)
    return Done()


@dataclass(frozen=True)
class Answer:
    """The status of an endpoint's answer, and its ``Retry-After`` in seconds, 0 without one."""

    status: int
    retry_after: int


class Deliverer:
    """Delivers webhooks.

    Parameters
    ----------
    settings
        Queues, schedule, keys.
    keys
        Returns the signing keys (`dicom_service.notifications.signing.endpoint_secrets`).
    post
        Sends a body to a target at an address.
    look_up
        Name resolution.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        keys: Callable[[], Mapping[str, Any]],
        post: "Callable[[Target, str, bytes, Mapping[str, str]], Answer] | None" = None,
        look_up: Callable[[Target], str] = resolve,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._keys = keys
        self._post = post or post_pinned
        self._look_up = look_up
        self._clock = clock
        self._endpoints = Endpoints(settings.table, clock=clock)

    def deliver(self, message: Mapping[str, Any], attempt: int) -> Outcome:
        """Try to deliver one message."""
        url = message["url"]
        if url not in self._settings.urls:
            return Done()
        endpoint = self._endpoints.read(url)
        if endpoint.is_off:
            return Done()
        if attempt <= _SPARED_ATTEMPTS and not self._endpoints.is_free(endpoint):
            return self._failed(url, "SPARED", attempt, 0)
        try:
            answer = self._send(endpoint, message["body"])
        except WebhookError as error:
            return self._failed(url, error.code, attempt, 0)
        if 200 <= answer.status < 300:
            happened = datetime.fromisoformat(message["body"]["timestamp"]).timestamp()
            metrics.seconds("WebhookAge", self._clock() - happened)
            return Done()
        if answer.status == 410:
            self._endpoints.switch_off(url)
            return Done()
        return self._failed(url, f"HTTP_{answer.status}", attempt, answer.retry_after)

    def _send(self, endpoint: Endpoint, body: Mapping[str, Any]) -> Answer:
        target = parse_target(endpoint.url, loopback=self._settings.local, private_hosts=self._settings.private_hosts)
        address = self._look_up(target)
        payload = json.dumps(self._content(body), separators=(",", ":"), ensure_ascii=False).encode()
        try:
            secrets = endpoint_secrets(self._keys(), endpoint.url)
        except KeyError as error:
            raise SettingsError("The secret of the webhook keys has no current key.") from error
        signed = headers(secrets, body["data"]["eventId"], int(self._clock()), payload)
        with self._endpoints.watch(endpoint):
            return self._post(target, address, payload, {**signed, "Content-Type": "application/json"})

    def _content(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if self._settings.format != PACS_EVENT:
            return body
        # Read at each attempt, so that no name waits in a queue.
        callback = read_callback(self._settings.exams_table, body["data"]["StudyInstanceUID"], clock=self._clock)
        return pacs_event(body["data"], callback)

    def _failed(self, url: str, code: str, attempt: int, retry_after: int) -> Outcome:
        logger.warning("webhook not delivered", extra={"endpoint": log.hashed(url), "code": code, "attempt": attempt})
        if attempt > len(self._settings.delays):
            return DeadLetter(code)
        delay = self._settings.delays[attempt - 1] * random.uniform(0.8, 1.0)  # noqa: S311
        return Retry(max(delay, retry_after))


def post_pinned(
    target: Target, address: str, payload: bytes, headers: Mapping[str, str], *, ca_certs: str | None = None
) -> Answer:
    """Post to a target at the address that was checked; follow no redirect, use no proxy, read no body.

    The connection goes to the address; its certificate has to be valid for the host's name.

    Raises
    ------
    DeliveryFailed
        There was no answer in time, or none in HTTP, or the certificate is not valid for the name.
    """
    pool: urllib3.HTTPConnectionPool
    if target.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            address,
            target.port,
            cert_reqs=ssl.CERT_REQUIRED,
            ca_certs=ca_certs,
            server_hostname=target.host,
            assert_hostname=target.host,
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, target.port)
    sent = {**headers, "Host": target.authority, "User-Agent": "dicom-service", "Connection": "close"}
    with pool:
        try:
            response = pool.urlopen(
                "POST",
                target.path,
                body=payload,
                headers=sent,
                redirect=False,
                retries=False,
                timeout=_TIMEOUT,
                preload_content=False,
                decode_content=False,
            )
            response.close()
        except urllib3.exceptions.NewConnectionError as error:
            # A subclass of TimeoutError in urllib3; but a connection is rejected at once.
            raise DeliveryFailed("UNREACHABLE") from error
        except urllib3.exceptions.TimeoutError as error:
            raise DeliveryFailed("TIMEOUT") from error
        except urllib3.exceptions.SSLError as error:
            raise DeliveryFailed("TLS") from error
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise DeliveryFailed("UNREACHABLE") from error
    retry_after = response.headers.get("Retry-After", "")
    heeded = response.status in (429, 503) and retry_after.isdecimal()
    return Answer(response.status, int(retry_after) if heeded else 0)
