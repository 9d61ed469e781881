"""The authorization server's public keys: where they come from, and what they say of a token."""
