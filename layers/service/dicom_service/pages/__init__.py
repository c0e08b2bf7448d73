"""Serves the pages for people: the share page and the viewer, packed by ``sam build`` (web/pack.py)."""
