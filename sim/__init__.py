"""A simulated STM: sample, tip, conditioning and imaging, with shells that make it an instrument.

Units: the world and its shells speak SI like every driver. The matter inside (preset, sample, tip,
conditioning, kernels) is written in nanometres, the unit of its published formulas and the one
that single precision holds well; the unit is in every name.
"""
