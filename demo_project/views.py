"""The demo's pages: ordinary Django and DRF views. They read tokens only to show them."""

from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from rest_framework import generics, permissions, serializers
from rest_framework.request import Request

from demo_project.example_id import PROVIDER_ID, provider_url
from demo_project.models import Note
from tokenauth.decorators import device_proof_required
from tokenauth.shortcuts import sign_out


class NoteForm(forms.Form):
    """One text, and the rotation it was loaded at: the answer tells if it moved on."""

    text = forms.CharField(label="Your note", widget=forms.Textarea(attrs={"rows": 7}))
    rotation = forms.IntegerField(required=False, widget=forms.HiddenInput)


def admin_elsewhere(request: HttpRequest) -> dict[str, str]:
    """Say where the admin is on this machine's other name: to the browser, another site.

    One browser can hold both people then; on this name, staff would sign in over Alice.
    """
    other = {"localhost": "127.0.0.1", "127.0.0.1": "localhost"}
    host, _, port = request.get_host().partition(":")
    origin = f"{request.scheme}://{other[host]}:{port}" if host in other and port else ""
    return {"admin_origin": origin}


def example_id(request: HttpRequest) -> dict[str, Any]:
    """Say where the button of Example ID leads: nowhere, if no provider runs."""
    runs = settings.EXAMPLE_ID and provider_url()
    url = reverse("openid_connect_login", args=[PROVIDER_ID]) if runs else ""
    return {"example_id_url": url, "example_id_missing": settings.DEBUG and not url}


@login_required
def private(request: HttpRequest) -> HttpResponse:
    """Show the tokens of this session at work."""
    return render(request, "demo/private.html", {"access_lifetime": access_lifetime()})


@login_required
def note(request: HttpRequest) -> HttpResponse:
    """Take a note; the access token may expire while it is written."""
    # There is none yet when a Django session is being adopted.
    rotation = getattr(request.auth_session, "rotation", 0)  # type: ignore[attr-defined]  # ours
    form = NoteForm(request.POST or None, initial={"rotation": rotation})
    if form.is_valid():
        Note.objects.create(user=person(request), text=form.cleaned_data["text"])
        messages.success(request, saved_message(form.cleaned_data["rotation"], rotation))
        return redirect("note")
    context = {
        "form": form,
        "notes": Note.objects.filter(user=person(request))[:5],
        "access_lifetime": access_lifetime(),
    }
    return render(request, "demo/note.html", context)


def person(request: HttpRequest | Request) -> User:
    """Return who is signed in, for views that let nobody else in."""
    return cast(User, request.user)


def access_lifetime() -> int:
    """Return the lifetime of an access token in seconds."""
    return int(settings.TOKENAUTH_ACCESS_TOKEN_LIFETIME.total_seconds())


def saved_message(before: int | None, after: int) -> str:
    """Say that the note is saved, and what happened meanwhile."""
    if before is None or before == after:
        return "Saved. The access token was still good."
    return "Saved. Your access token expired while you wrote; the session was refreshed on the way."


@device_proof_required(max_age=30, otherwise=60)
def delete_account(request: HttpRequest) -> HttpResponse:
    """Delete the person who is signed in, and sign them out.

    A browser that can proves at this moment which device it is on; of others' people a login of the
    last minute is wanted.
    """
    if request.method == "POST":
        user = person(request)
        name = user.get_username()
        sign_out(request)
        user.delete()
        messages.success(request, f"The account {name} and its notes are deleted.")
        return redirect("home")
    return render(request, "demo/delete_account.html")


class NoteSerializer(serializers.ModelSerializer[Note]):
    """A note as JSON."""

    class Meta:
        model = Note
        fields = ["id", "text", "created_at"]


class NoteList(generics.ListCreateAPIView[Note]):
    """The signed-in person's notes."""

    serializer_class = NoteSerializer
    permission_classes = [permissions.IsAuthenticated]

    def get_queryset(self) -> QuerySet[Note]:
        """Return this person's notes and nobody else's."""
        return Note.objects.filter(user=person(self.request))

    def perform_create(self, serializer: serializers.BaseSerializer[Note]) -> None:
        """Save the note as this person's."""
        serializer.save(user=person(self.request))
