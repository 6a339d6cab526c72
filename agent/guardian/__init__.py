"""The guardian: a process of its own that withdraws the tip when the agent falls silent.

Standard library only, and no import from any other room or module of this one: it has to start
within milliseconds and to share no fault with what it watches. What to send, it is handed.
"""
