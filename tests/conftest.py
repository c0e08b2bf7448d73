"""Fixtures of all tests, and the figures that tests print, gathered at the end."""

from typing import Any

from tests.support.stack import stack

__all__ = ["stack"]


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
