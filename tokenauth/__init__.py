"""Sign in once, stay signed in: short access tokens, rotating refresh tokens, in cookies."""
