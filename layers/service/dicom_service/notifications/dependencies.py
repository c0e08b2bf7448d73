"""The objects of this package, wired from the settings once per process.

Each function imports only what it uses: classes are imported by their factories.
"""

from functools import cache
from typing import TYPE_CHECKING

from dicom_service.dependencies import pacs
from dicom_service.settings import load

if TYPE_CHECKING:
    from dicom_service.notifications.announce import Announcer, AnnounceSettings
    from dicom_service.notifications.callback import CallbackReadSettings, Callbacks
    from dicom_service.notifications.feed import Feed
    from dicom_service.notifications.poll import Poller
    from dicom_service.notifications.publish import Publisher
    from dicom_service.notifications.webhooks import Deliverer, FanOutSettings, WebhookSettings


@cache
def announce_settings() -> "AnnounceSettings":
    """Return the settings of announcements."""
    from dicom_service.notifications.announce import AnnounceSettings

    return load(AnnounceSettings)


@cache
def announcer() -> "Announcer":
    """Return the announcer, which also completes workitems and suspends the codes of exams with a second patient."""
    from dicom_service.notifications.announce import Announcer
    from dicom_service.otp.dependencies import guard
    from dicom_service.worklist.dependencies import reconciler

    return Announcer(announce_settings(), pacs(), reconcile=reconciler().complete_for_exam, watch=guard().check_exam)


@cache
def publisher() -> "Publisher":
    """Return the publisher of pending events."""
    from dicom_service.notifications.publish import Publisher, PublishSettings

    return Publisher(load(PublishSettings))


@cache
def feed() -> "Feed":
    """Return the reader of the change feed."""
    from dicom_service.notifications.feed import Feed, FeedSettings

    return Feed(load(FeedSettings))


@cache
def fan_out_settings() -> "FanOutSettings":
    """Return the settings of queueing webhooks."""
    from dicom_service.notifications.webhooks import FanOutSettings

    return load(FanOutSettings)


@cache
def webhook_settings() -> "WebhookSettings":
    """Return the settings of delivering webhooks."""
    from dicom_service.notifications.webhooks import WebhookSettings

    return load(WebhookSettings)


@cache
def deliverer() -> "Deliverer":
    """Return the deliverer of webhooks; it reads the signing keys when it signs."""
    from dicom_service.aws import Secret
    from dicom_service.notifications.webhooks import Deliverer

    return Deliverer(webhook_settings(), keys=Secret(webhook_settings().keys_arn).value)


@cache
def callbacks() -> "Callbacks":
    """Return the receiver of the PACS's callbacks."""
    from dicom_service.notifications.callback import Callbacks, CallbackSettings

    return Callbacks(load(CallbackSettings))


@cache
def callback_read_settings() -> "CallbackReadSettings":
    """Return where the PACS's callbacks are stored."""
    from dicom_service.notifications.callback import CallbackReadSettings

    return load(CallbackReadSettings)


@cache
def poller() -> "Poller":
    """Return the poller of a PACS that cannot call back."""
    from dicom_service.notifications.poll import Poller, PollSettings

    return Poller(load(PollSettings), pacs())
