"""What the service costs, measured against what it stands in front of: `make bench`."""
