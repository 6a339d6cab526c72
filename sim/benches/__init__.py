"""What the simulator is held against: its speed, and real scans."""
