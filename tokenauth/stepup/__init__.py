"""Step-up: prove again who you are, for a view that wants a recent proof (RFC 9470)."""
