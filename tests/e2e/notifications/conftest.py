"""A webhook receiver of our own, and the deployed functions pointed at it."""

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack
from tests.support.webhooks import Receiver, receiving


@pytest.fixture(scope="module")
def receiver(stack: Stack) -> Iterator[Receiver]:
    """A receiver at one URL."""
    with receiving(stack, ["/hook"], "1,1,2,2,4,8,16,30,30") as receiver:
        yield receiver
