"""What a person writes in the demo."""

from django.conf import settings
from django.db import models


class Note(models.Model):
    """A few lines that belong to one person."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notes"
    )
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        """Return the beginning of the text."""
        return self.text[:40]
