"""Erasure: everything that the service holds of an exam or a patient is found, removed or blanked, and counted."""
