"""The demo's app: a client that is no browser, in a process of its own."""
