"""What is fast on this machine, and start-up."""
