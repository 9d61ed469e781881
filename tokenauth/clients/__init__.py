"""Who signs in without being a browser."""
