"""What becomes of one request: which cookies count, who it is, what its response sets."""
