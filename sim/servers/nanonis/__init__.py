"""A simulated Nanonis controller: its TCP programming interface over one simulated microscope."""
