"""A FastAPI app that knows who is there, without Django and without a database."""
