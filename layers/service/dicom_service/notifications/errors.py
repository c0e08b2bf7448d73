"""What can go wrong with a webhook.

::

    WebhookError
    ├── UnsafeUrl           the URL itself is one that must not be called
    ├── UnsafeAddress       its host stands for an address that is not public
    └── DeliveryFailed      not resolved, not reached, too slow, or TLS refused
"""


class WebhookError(Exception):
    """Base of them all.

    Parameters
    ----------
    code
        Stable name in UPPER_SNAKE, for the log.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnsafeUrl(WebhookError):
    """The URL is not https, carries credentials, or is no URL."""


class UnsafeAddress(WebhookError):
    """The host's address is private, loopback, link-local or otherwise not one of the public Internet."""


class DeliveryFailed(WebhookError):
    """No answer came."""
