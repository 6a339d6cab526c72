"""Adaptation of the scorer to a new surface from few labelled scans."""
