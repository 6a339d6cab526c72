"""What a scan is made of: the path of the tip, the contour, the feedback loop, noise, events."""
