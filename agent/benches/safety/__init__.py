"""What protects the tip, put to the test with real processes and real sockets."""
