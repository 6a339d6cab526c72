"""Tunnelling spectra: electronic states of sample and tip, sweeps, and how a spectrum is judged."""
