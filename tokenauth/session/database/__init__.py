"""What is the database's: other transactions, and statements that are compiled once."""
