"""The agent: the control loop that keeps a tip sharp, its journal, and the command line."""
