"""The modules of the simulated controller, one class each, after the names of their commands."""
