"""Say what a job is called, by what its token tells: GitHub's, GitLab's, or anybody's.

Nothing here touches a request or the database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: Seconds that an assertion counts, however long its issuer lets it live: one that leaks in a log
#: is worth nothing soon. And by how much the clocks of two machines may differ.
MAX_AGE, MAX_SKEW = 10 * 60, 60
#: What ``AuthSession.client_name`` holds.
MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class Job:
    """Who an assertion signs in."""

    user: Any
    #: For "Your devices" and the admin, like "deploy.yml of example/shop".
    name: str
    #: The same for the same assertion, and for no other: it signs in once.
    mark: str = field(repr=False)


def name_of(claims: Mapping[str, Any]) -> str:
    """Return the file that says what a job does, and whose it is; else the token's ``sub``."""
    job = said(claims, "job_id")
    known = [
        (file_of(said(claims, "workflow_ref")) or said(claims, "workflow"), "repository"),
        (file_of(said(claims, "ci_config_ref_uri")) or (job and f"job {job}"), "project_path"),
    ]
    for what, where in known:
        if what and said(claims, where):
            return f"{what} of {said(claims, where)}"
    return said(claims, "sub")


def said(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim that is a text; empty if it is none."""
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def file_of(reference: str) -> str:
    """Return ``deploy.yml`` of ``example/shop/.github/workflows/deploy.yml@refs/heads/main``."""
    return reference.partition("@")[0].rpartition("/")[2]


def shown(text: Any) -> str:
    """Return what of a text can be shown in a line: a token may say anything."""
    visible = (letter if letter.isprintable() else " " for letter in text)
    return " ".join("".join(visible).split())[:MAX_NAME_LENGTH]
