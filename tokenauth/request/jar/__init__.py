"""What the browser keeps: where the two cookies are, and which of those that came counts."""
