"""Errors of a webhook's delivery.

::

    WebhookError
    ├── UnsafeUrl           the URL must not be called
    ├── UnsafeAddress       its host resolves to an address that is not public
    └── DeliveryFailed      not resolved, not reached, too slow, or TLS failed
"""


class WebhookError(Exception):
    """Base of the errors of a delivery.

    Parameters
    ----------
    code
        Stable name in UPPER_SNAKE, for the log.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnsafeUrl(WebhookError):
    """The URL is not https, contains credentials, or is not a URL."""


class UnsafeAddress(WebhookError):
    """The host's address is private, loopback, link-local or otherwise not public."""


class DeliveryFailed(WebhookError):
    """The receiver did not answer."""
