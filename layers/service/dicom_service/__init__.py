"""What the functions of the DICOM Service share: settings, the HTTP edge, domain rules, stores and events."""
