"""Clients that are no browser: apps, and CI jobs."""
