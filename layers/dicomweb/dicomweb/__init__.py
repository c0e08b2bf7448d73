"""A streaming DICOMweb client (QIDO-RS, WADO-RS, STOW-RS, PS3.18); knows no cloud."""
