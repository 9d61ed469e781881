"""A CI for the tests: its issuer, and what its jobs show of themselves."""

import base64
import json
import time
from typing import Any
from uuid import uuid4

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

AUDIENCE = "https://app.site.test/"
DISCOVERY, KEYS_PATH = "/.well-known/openid-configuration", "/keys"
RSA, EC = RSAKey.generate_key(2048), ECKey.generate_key("P-256")
ALGORITHMS = {"RSA": "RS256", "EC": "ES256"}

#: What a job of GitHub Actions says besides when it was issued, and for whom.
GITHUB = {
    "sub": "repo:example/shop:environment:production",
    "environment": "production",
    "ref": "refs/heads/main",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "repository": "example/shop",
    "repository_owner": "example",
    "repository_id": "74",
    "repository_owner_id": "65",
    "repository_visibility": "private",
    "actor": "alice",
    "actor_id": "12",
    "run_id": "9812",
    "run_number": "10",
    "run_attempt": "1",
    "runner_environment": "github-hosted",
    "workflow": "Deploy",
    "workflow_ref": "example/shop/.github/workflows/deploy.yml@refs/heads/main",
    "job_workflow_ref": "example/shop/.github/workflows/deploy.yml@refs/heads/main",
    "head_ref": "",
    "base_ref": "",
    "event_name": "push",
    "ref_type": "branch",
    "ref_protected": "true",
}
#: What a job of GitLab says; that a branch is protected is a text there, too.
GITLAB = {
    "sub": "project_path:example/shop:ref_type:branch:ref:main",
    "namespace_id": "72",
    "namespace_path": "example",
    "project_id": "20",
    "project_path": "example/shop",
    "project_visibility": "private",
    "user_id": "1",
    "user_login": "alice",
    "user_email": "alice@example.com",
    "pipeline_id": "574",
    "pipeline_source": "push",
    "job_id": "302",
    "ref": "main",
    "ref_type": "branch",
    "ref_path": "refs/heads/main",
    "ref_protected": "true",
    "environment": "production",
    "environment_protected": "true",
    "groups_direct": ["example/people"],
    "runner_id": 1,
    "runner_environment": "gitlab-hosted",
    "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    "ci_config_ref_uri": "127.0.0.1/example/shop//.gitlab-ci.yml@refs/heads/main",
    "ci_config_sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
}


def segment(data: Any) -> str:
    """A part of a JWT."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(issuer: str, shape: dict[str, Any] = GITHUB, **changes: Any) -> dict[str, Any]:
    """What a job says that was issued now; a change to None leaves a claim out."""
    now = int(time.time())
    times = {"iat": now, "nbf": now - 5, "exp": now + 300}
    said = {"iss": issuer, "aud": AUDIENCE, "jti": str(uuid4())} | times | shape | changes
    return {name: value for name, value in said.items() if value is not None}


def signed(said: Any, key: Any = RSA, **header: Any) -> str:
    """A token with these claims; a word of its header that is None is left out."""
    alg = ALGORITHMS[key.key_type]
    words = {"typ": "JWT", "alg": alg, "x5t": "thumb", "kid": key.thumbprint()} | header
    words = {name: word for name, word in words.items() if word is not None}
    text = f"{segment(words)}.{segment(said)}"
    signature = jws.JWSRegistry.algorithms[alg].sign(text.encode(), key)
    return f"{text}.{segment(signature)}"


def key_set(*keys: Any) -> dict[str, Any]:
    """What an issuer publishes: some say more of a key than is needed."""
    words = {"use": "sig", "x5t": "thumb"}
    return {
        "keys": [
            key.as_dict(private=False)
            | words
            | {"kid": key.thumbprint(), "alg": ALGORITHMS[key.key_type]}
            for key in keys
        ]
    }
