"""What the scorer is worth: on simulated scans, on real ones, adapted, and how fast."""
