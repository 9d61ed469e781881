"""Django's own session, which belongs to one session of ours, or to nobody."""
