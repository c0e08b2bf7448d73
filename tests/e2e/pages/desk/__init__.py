"""The desk in a real browser, on the deployed service."""
