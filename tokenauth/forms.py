"""The login form."""

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _


class LoginForm(AuthenticationForm):
    """Django's own, with the choice to stay signed in after the browser is closed."""

    remember = forms.BooleanField(label=_("Keep me signed in"), required=False, initial=True)
