"""Columns that hold what no report may tell."""

from typing import Any

from django.db import models

from tokenauth.secret import Masked


class MaskedField(models.CharField):  # type: ignore[type-arg]  # Django's takes none when it runs
    """A text column whose value shows in no report, neither on its way in nor out."""

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Masked | None:
        """Mask what the database gives."""
        return None if value is None else Masked(value)

    def get_prep_value(self, value: Any) -> Masked | None:
        """Mask what it gets."""
        text = super().get_prep_value(value)
        return None if text is None else Masked(text)

    def deconstruct(self) -> Any:
        """Tell migrations that the column is an ordinary one."""
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs
