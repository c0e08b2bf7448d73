"""The AWS services that the layers and functions make clients for, read from their source."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def services_used() -> set[str]:
    """Return the services by boto3's names."""
    sources = [*ROOT.glob("layers/*/*/**/*.py"), *ROOT.glob("functions/*/app.py")]
    client = re.compile(r'(?:boto3|_session\(\))\.client\("([\w-]+)"')
    return {name for source in sources for name in client.findall(source.read_text())}
