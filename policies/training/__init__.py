"""Training of the scorer on the simulator."""
