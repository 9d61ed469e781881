"""The session, without HTTP: its tokens, its rotation, its three transitions."""
