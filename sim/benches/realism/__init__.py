"""Simulated scans beside real ones: what agrees, what gives them away."""
