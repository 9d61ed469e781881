"""The forms: to sign in, and to prove again who one is."""

import math
from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError
from django.db.models import EmailField
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from rest_framework.exceptions import Throttled

from tokenauth.conf import conf
from tokenauth.request.throttling import LoginAttempt
from tokenauth.secret import Masked
from tokenauth.session.users import can_be_username

#: The id of the error summary on the login page.
SUMMARY = "tokenauth-errors"


class LoginForm(AuthenticationForm):
    """Django's own, limited, with the choice to stay signed in after the browser is closed."""

    remember = forms.BooleanField(
        label=_("Keep me signed in"), required=False, initial=lambda: conf.persistent_by_default
    )

    #: After how many seconds to try again, when too many logins have failed.
    retry_after: int | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.username_field, EmailField):
            self.fields["username"].widget.attrs["inputmode"] = "email"

    def clean(self) -> dict[str, Any]:
        """Check the password, unless too many have failed."""
        username = self.cleaned_data.get("username")
        if username is None or not self.cleaned_data.get("password"):
            return super().clean()
        # Django hands it on, through frames that a report of an error would show.
        self.cleaned_data["password"] = Masked(self.cleaned_data["password"])
        try:
            attempt = LoginAttempt(self.request, username)
        except Throttled as refusal:
            self.retry_after = wait = int(refusal.wait)  # type: ignore[attr-defined]  # the stubs lack it
            raise throttled(wait) from None
        try:
            super().clean()
        except (ValidationError, ValueError):
            self._mark_fields()
            if can_be_username(username):
                raise
            raise self.get_invalid_login_error() from None
        attempt.succeeded()
        return self.cleaned_data

    def _mark_fields(self) -> None:
        """Say at both fields that one of them is wrong: it can't be told which."""
        for name in ("username", "password"):
            attrs = self.fields[name].widget.attrs
            attrs.update({"aria-invalid": "true", "aria-describedby": SUMMARY})
        # The username stays filled in, so the password is what to type next.
        self.fields["password"].widget.attrs["autofocus"] = True
        self.fields["username"].widget.attrs.pop("autofocus", None)


class ReauthenticationForm(LoginForm):
    """The password again, of who is signed in: checked, counted and refused as at a login."""

    def __init__(self, *args: Any, person: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person
        del self.fields["username"], self.fields["remember"]
        self.fields["password"].widget.attrs["autofocus"] = True

    def clean(self) -> dict[str, Any]:
        """Check the password of this person."""
        self.cleaned_data["username"] = str(self.person.get_username())
        return super().clean()

    def confirm_login_allowed(self, user: Any) -> None:
        """Let nobody else in: a backend may know another person by that name."""
        super().confirm_login_allowed(user)
        if user.pk != self.person.pk:
            raise self.get_invalid_login_error()

    def get_invalid_login_error(self) -> ValidationError:
        """Return the error, without talk of a username."""
        return ValidationError(_("This password is not correct."), code="invalid_login")

    def _mark_fields(self) -> None:
        attrs = {"aria-invalid": "true", "aria-describedby": SUMMARY}
        self.fields["password"].widget.attrs.update(attrs)


def with_status(response: HttpResponse, form: Any) -> HttpResponse:
    """Say 429 with a form that was not even looked at."""
    retry_after = getattr(form, "retry_after", None)
    if retry_after is not None:
        response.status_code = 429
        response.headers["Retry-After"] = str(retry_after)
    return response


def throttled(seconds: int) -> ValidationError:
    """Return the error for a login that was not tried."""
    minutes = math.ceil(seconds / 60)
    message = ngettext(
        "Too many sign-ins have failed. Try again in %(minutes)d minute.",
        "Too many sign-ins have failed. Try again in %(minutes)d minutes.",
        minutes,
    )
    return ValidationError(message, code="throttled", params={"minutes": minutes})
