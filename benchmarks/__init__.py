"""Speed, memory and time to accuracy: each against a peer, in one run, beside the machine's own limits."""
