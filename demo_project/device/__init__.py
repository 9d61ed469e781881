"""The demo over https, where sessions are bound to the device: `make demo HTTPS=1`."""
