"""The tip: its apexes and states, and the hidden law by which actions change them."""
