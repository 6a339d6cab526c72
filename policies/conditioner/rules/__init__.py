"""Hand-written repair rules."""
