"""Fixtures of all tests, and the figures that tests print, gathered at the end."""

import os
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.loaders import JSONFileLoader

import build_contract
from dicom_service.aws import clients
from local.settings import ENV_FILE_NAMES
from tests.support.stack import stack

# A shell that has read the local stack's env file must not lead tests to that stack: boto3 obeys AWS_ENDPOINT_URL, the
# functions' settings obey names such as EVENT_BUS and PACS_AUTH.
for _name in [name for name in os.environ if name in ENV_FILE_NAMES or name.startswith("PACS_")]:
    del os.environ[_name]

# The document that the layer ships, as its sources are now.
build_contract.write()

# Each test has clients of its own. The descriptions of AWS's services that these are made from are parsed once: it took
# a third of the processor's time of the tests of the audit.
_parse = cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda self, file_path: _parse(file_path)  # type: ignore[method-assign]

# The stores of tests take values that DynamoDB rejects: here the SDK compares them with DynamoDB's description.
clients.DYNAMODB_CONFIG = clients.DYNAMODB_CONFIG.merge(Config(parameter_validation=True))

__all__ = ["stack"]

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.spread import ByStack


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """One browser for all pages: Playwright runs once in a process."""
    from playwright.sync_api import sync_playwright

    from tests.support.browser import launch

    with sync_playwright() as playwright:
        opened = launch(playwright)
        yield opened
        opened.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "ByStack":
    """Spread the tests by the stack that they need."""
    from tests.support.spread import ByStack

    return ByStack(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what passing tests printed: counts of what was compared, attacked, broken; no logs, no programs' output."""
    printed = [
        [line for line in text.splitlines() if line.strip() and not line.startswith(("{", "==>", "["))]
        for report in terminalreporter.stats.get("passed", [])
        for name, text in report.sections
        if name == "Captured stdout call"
    ]
    figures = [line for lines in printed if len(lines) < 10 for line in lines]
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)
