"""The AWS services that the layers and functions make clients for, read from their source."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def services_used() -> set[str]:
    """Return the services by boto3's names."""
    sources = [*ROOT.glob("layers/*/*/**/*.py"), *ROOT.glob("functions/*/app.py")]
    return {name for source in sources for name in re.findall(r'boto3\.client\("([\w-]+)"', source.read_text())}
