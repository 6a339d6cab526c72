"""Presets: the numbers of a surface, a tip and an instrument, each with its provenance."""
