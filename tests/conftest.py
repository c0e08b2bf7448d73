"""Fixtures of all tests, and the figures that tests print, gathered at the end."""

from typing import Any

from tests.stack import stack

__all__ = ["stack"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what passing tests printed: counts of what was compared, attacked, broken; not their log lines (JSON)."""
    figures = [
        line
        for report in terminalreporter.stats.get("passed", [])
        for name, text in report.sections
        if name == "Captured stdout call"
        for line in text.splitlines()
        if line.strip() and not line.startswith(("{", "==>", "["))
    ]
    if figures:
        terminalreporter.section("figures")
        for line in figures:
            terminalreporter.write_line(line)
