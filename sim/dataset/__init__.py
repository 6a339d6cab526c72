"""Labelled sets of simulated scans: files as an instrument writes them, the truth beside them."""
