"""The worklist: workitems that behave the same whatever the PACS speaks."""
