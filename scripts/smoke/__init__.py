"""`make smoke`: fifteen checks of a deployed stack, which end in a report to paste."""
