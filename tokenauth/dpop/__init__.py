"""Proofs of possession (RFC 9449): that who brings a token holds the key that it is bound to."""
