"""For servers without our database: who sends a request, by a public key alone."""
