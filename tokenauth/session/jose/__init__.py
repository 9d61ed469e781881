"""What is signed with keys that others verify with, by joserfc (RFC 7515, 7517, 7518)."""
