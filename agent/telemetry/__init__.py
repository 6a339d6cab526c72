"""A run told to whoever watches: what is sent, who sends it, who may hear it, and the hearing."""
