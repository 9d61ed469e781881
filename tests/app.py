"""An app: a client that is no browser, and keeps its tokens by itself."""

from urllib.parse import urlencode

from django.test import Client

from tests.factories import PASSWORD

FORM = "application/x-www-form-urlencoded"


class App:
    """What an app of the site's own does, in the test client's process."""

    def __init__(self, name="Pocket"):
        self.http = Client(enforce_csrf_checks=True)
        self.name = name
        self.tokens = {}

    def sign_in(self, user, **fields):
        """Answer of ``api/login/``; its tokens are kept."""
        fields = {"client": "app", "client_name": self.name} | fields
        person = {"username": user.get_username(), "password": PASSWORD}
        answer = self.http.post("/auth/api/login/", person | fields, "application/json")
        self.tokens = answer.json().get("tokens", {})
        return answer

    @property
    def header(self):
        """What goes with each request."""
        return {"authorization": f"Bearer {self.tokens['access_token']}"}

    def get(self, path="/whoami/", **kwargs):
        """Answer to a request with the access token."""
        return self.http.get(path, headers=self.header, **kwargs)

    def post(self, path, data=None, **kwargs):
        """See get()."""
        return self.http.post(path, data, headers=self.header, **kwargs)

    def send(self, path="/auth/token/", *, headers=None, **parameters):
        """Answer to a form."""
        return self.http.post(path, urlencode(parameters, doseq=True), FORM, headers=headers)

    def refresh(self, token=None):
        """Answer of the token endpoint, which is lost on the way."""
        token = token or self.tokens["refresh_token"]
        return self.send(grant_type="refresh_token", refresh_token=token)

    def keep(self, answer):
        """Keep what an answer brought, as any OAuth client does."""
        self.tokens |= answer.json()
        return answer

    def sign_out(self):
        """Give the tokens back."""
        return self.send("/auth/token/revoke/", token=self.tokens["refresh_token"])
