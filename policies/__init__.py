"""What judges a tip (scorer) and what repairs it (conditioner), with their training."""
