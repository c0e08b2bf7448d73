"""Exams: stored in the PACS, listed, fetched and shown."""
