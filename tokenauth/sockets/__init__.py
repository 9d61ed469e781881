"""What becomes of WebSockets: who opens one, and when it is closed again."""
