"""Repairs of simulated tips under equal conditions: what the benchmark of policies is made of."""
