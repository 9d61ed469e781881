"""Which sessions have ended, told to servers that have no database: one stream in Redis."""
