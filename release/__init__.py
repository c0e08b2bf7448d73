"""What accompanies a release: third-party licences, and the software bill of materials."""
