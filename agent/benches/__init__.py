"""Benchmarks of the agent that take more than one module."""
