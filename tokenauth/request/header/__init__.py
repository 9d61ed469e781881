"""What a client that is no browser sends in headers."""
