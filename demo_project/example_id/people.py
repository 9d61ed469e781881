"""Who has an account at Example ID: by name, what it tells a site about them."""

PEOPLE: dict[str, dict[str, object]] = {
    "mia": {
        "name": "Mia Example",
        "given_name": "Mia",
        "family_name": "Example",
        "email": "mia@example.com",
        "email_verified": True,
    },
    "noah": {
        "name": "Noah Example",
        "given_name": "Noah",
        "family_name": "Example",
        "email": "noah@example.com",
        "email_verified": True,
    },
    "zoe": {
        "name": "Zoe Example",
        "given_name": "Zoe",
        "family_name": "Example",
        "email": "zoe@example.com",
        "email_verified": True,
    },
}
