"""The simulated microscope behind the protocols of real controllers."""
