"""What requests cost, one by one and under load, and the admin over a million sessions."""
