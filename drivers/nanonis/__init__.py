"""Nanonis controllers over their TCP programming interface."""
