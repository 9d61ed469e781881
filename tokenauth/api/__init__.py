"""What scripts see: the JSON API and its schema."""
