"""Exams: brought to the PACS, listed, fetched and shown."""
