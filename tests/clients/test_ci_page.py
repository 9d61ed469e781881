"""The page about CI: its function lets the shop's jobs in, its scripts do what they say."""

import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml
from django.contrib.auth import get_user_model

from tests.clients import DISCOVERY, GITHUB, GITLAB, KEYS_PATH, claims, key_set, signed
from tests.clients import RSA as KEY
from tests.factories import UserFactory
from tests.processes import PATIENCE
from tests.resource.issuer import issuer, publish
from tokenauth.checks import policy
from tokenauth.clients import issuers
from tokenauth.clients.assertions import InvalidAssertion, verify_assertion
from tokenauth.secret import Secret

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "ci.md").read_text("utf-8")
SITE, GITHUBS, GITLABS = (
    *("https://example.com", "https://token.actions.githubusercontent.com"),
    "https://gitlab.com",
)
needs_curl = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("jq")), reason="neither curl nor jq is here"
)


def block(name):
    """The code of the page that says in its first line which file it is."""
    _, found, rest = PAGE.partition(f"\n# {name}\n")
    assert found
    return rest.partition("\n```\n")[0] + "\n"


class Shop(ThreadingHTTPServer):
    """A site that takes whatever comes, and answers as it is told."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Counter)
        self.asked = []
        self.answer = (200, b'{"access_token": "the-access-token", "token_type": "Bearer"}')

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.server_port}"


class Counter(BaseHTTPRequestHandler):
    def do_POST(self):  # the library's name
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(parse_qsl(body, strict_parsing=True))
        self.server.asked.append((self.path, self.headers.get("Authorization"), form))
        status, answer = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args):
        pass


@contextmanager
def shop():
    """Run one until the block ends."""
    with Shop() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="shop")
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ci(handler):
    """Answer as GitHub does: with its keys, and with a token for the audience that is wanted."""
    origin, url = handler.server.origin, urlsplit(handler.path)
    if url.path == "/token":
        assert handler.headers["Authorization"] == "Bearer of-the-job"
        asked = dict(parse_qsl(url.query))
        assert asked.pop("api-version") == "2.0"
        publish({"value": signed(claims(origin, GITHUB, aud=asked["audience"]))})(handler)
    else:
        told = {"issuer": origin, "jwks_uri": origin + KEYS_PATH}
        publish({DISCOVERY: told, KEYS_PATH: key_set(KEY)}[url.path])(handler)


class Places:
    """The page's addresses, and where they are in these tests."""

    def __init__(self, site, github, gitlab):
        self.site, self.github, self.gitlab = site, github, gitlab

    def in_place(self, code):
        pairs = {SITE: self.site, GITHUBS: self.github, GITLABS: self.gitlab}
        for there, server in pairs.items():
            code = code.replace(there, server.origin)
        return code


@pytest.fixture
def places(settings, tmp_path, monkeypatch):
    """A project as the page has it, with issuers on this machine; and whom its jobs are."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "ci.py").write_text(block("shop/ci.py"))
    monkeypatch.syspath_prepend(tmp_path)
    with shop() as site, issuer() as github, issuer() as gitlab:
        github.answer = gitlab.answer = ci
        places = Places(site, github, gitlab)
        chosen = {}
        exec(places.in_place(block("settings.py")), chosen)  # noqa: S102  # our own page
        settings.TOKENAUTH_TRUSTED_ISSUERS = chosen["TOKENAUTH_TRUSTED_ISSUERS"]
        assert not [each for each in policy.check_settings() if "TRUSTED" in each.msg]
        yield places
    issuers.forget()
    for name in ("shop", "shop.ci"):
        sys.modules.pop(name, None)


@pytest.fixture
def deployer(db):
    """The user of the page's function."""
    return UserFactory(username="shop-deploy")


def verify(raw):
    return verify_assertion(Secret(raw))


#: What is another in the jobs of others, a line of the page's each.
AT_GITHUB = {
    "repository_id": "75",
    "repository_owner_id": "66",
    "ref": "refs/heads/feature",
    "environment": None,
    "event_name": "pull_request_target",
}
AT_GITLAB = {
    "project_id": "21",
    "ref_type": "tag",
    "ref": "feature",
    "ref_protected": "false",
    "environment": None,
    "pipeline_source": "merge_request_event",
}


@pytest.mark.parametrize(
    ("name", "shape", "others"),
    [("github", GITHUB, AT_GITHUB), ("gitlab", GITLAB, AT_GITLAB)],
    ids=["github", "gitlab"],
)
def test_the_pages_functions_let_in_the_shops_jobs_and_no_others(
    places, deployer, name, shape, others
):
    """Each line of what they compare is needed."""
    said = claims(getattr(places, name).origin, shape, aud=places.site.origin)
    assert verify(signed(said)).user == deployer
    for claim, value in others.items():
        with pytest.raises(InvalidAssertion, match="lets in as nobody"):
            verify(signed(said | {claim: value}))
    get_user_model().objects.all().delete()
    with pytest.raises(InvalidAssertion, match="lets in as nobody"):
        verify(signed(said))


def run(shell, script, **environment):
    """Run a job's script with nothing but its own environment."""
    environment |= {"PATH": "/usr/bin:/bin", "NO_PROXY": "127.0.0.1"}
    command = [*shell, "-c", script]
    return subprocess.run(  # noqa: S603  # our own page
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def at_github(places):
    """Run the script of the page's workflow, as GitHub runs ``shell: bash``."""
    workflow = yaml.safe_load(places.in_place(block(".github/workflows/deploy.yml")))
    assert workflow["permissions"]["id-token"] == "write"
    (step,) = workflow["jobs"]["release"]["steps"]
    return run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail"],
        step["run"],
        ACTIONS_ID_TOKEN_REQUEST_URL=f"{places.github.origin}/token?api-version=2.0",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN="of-the-job",
        GITHUB_SHA="714a629c",
    )


def at_gitlab(places):
    """Run the script of the page's job, with the token that the job asks for."""
    job = yaml.safe_load(places.in_place(block(".gitlab-ci.yml")))["release"]
    said = claims(places.gitlab.origin, GITLAB, aud=job["id_tokens"]["SHOP_ASSERTION"]["aud"])
    (script,) = job["script"]
    return run(["sh", "-e"], script, SHOP_ASSERTION=signed(said), CI_COMMIT_SHA="714a629c")


def gets_in(places, done, deployer):
    """Whether a script exchanged what the site would accept, and called the API with it."""
    assert done.returncode == 0, done.stderr
    (path, header, form), call = places.site.asked
    assert (path, header) == ("/auth/token/", None)
    assertion = form.pop("assertion")
    assert form == {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    assert verify(assertion).user == deployer
    assert call == ("/api/releases/", "Bearer the-access-token", {"version": "714a629c"})
    assert assertion not in done.stdout + done.stderr


@needs_curl
def test_the_pages_script_for_github_gets_a_job_in(places, deployer):
    """It asks for a token for this site, exchanges it, and calls the API; the log hides it."""
    done = at_github(places)
    gets_in(places, done, deployer)
    assert done.stdout.startswith("::add-mask::the-access-token\n")


@needs_curl
def test_the_pages_script_for_gitlab_gets_a_job_in(places, deployer):
    """The token is there already."""
    done = at_gitlab(places)
    gets_in(places, done, deployer)
    assert not done.stderr


@needs_curl
@pytest.mark.parametrize("script", [at_github, at_gitlab])
def test_a_script_that_is_refused_fails_and_says_why(places, script):
    """What the site answers stands in the job's log; the API is not called."""
    why = b'{"error": "invalid_grant", "error_description": "for another audience"}'
    places.site.answer = (400, why)
    done = script(places)
    assert done.returncode == 1
    assert why.decode() in done.stdout
    assert len(places.site.asked) == 1
