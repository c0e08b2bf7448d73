"""Staged uploads and the drop prefix: files of any size go straight to S3, and from there to the PACS."""
