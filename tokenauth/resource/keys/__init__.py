"""Public keys of a server that signs tokens: where they come from, and what they verify."""
