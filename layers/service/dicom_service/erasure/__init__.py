"""Erasure: everything that the service holds of an exam or a patient is found, removed or blanked, and counted.

What reads or writes a store raises `dicom_service.errors.Unavailable` where the store fails; run the same erasure
again then.
"""
