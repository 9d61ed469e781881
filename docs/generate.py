"""Write what the code knows into the reference pages: settings, checks, commands.

    python docs/generate.py            rewrite the pages (`make docs` does)
    python docs/generate.py --check    only say which are out of date

The text stands in the pages themselves, so that they read well unbuilt. A setting's own words are
a person's: this script fills in its type and default, and complains about one without words.
"""

import argparse
import ast
import os
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import django
from django.core.management import CommandParser, load_command_class

sys.path.insert(0, str(Path(__file__).parents[1]))

import tokenauth
from tokenauth.conf import (
    BrowserLifetime,
    Conf,
    IdleLifetime,
    SecureUnlessDebug,
    Setting,
    TokenLifetime,
)

REFERENCE = Path(__file__).parent / "reference"
PACKAGE = Path(tokenauth.__file__).parent
HEADING = re.compile(r"^## `(TOKENAUTH_\w+)`\n\n(?:\*.*\*\n\n)?", re.MULTILINE)
#: The modules whose messages the page about checks lists.
CHECKS = (
    *("checks/site", "checks/policy", "checks/settings", "checks/names", "checks/deployment"),
    *("checks/issuer", "checks/device", "checks/admin", "sockets/checks", "resource/checks"),
)
#: What the values that a message is made of stand for.
WORDS = {
    "OURS": "tokenauth.middleware.TokenAuthMiddleware",
    "RESOURCE_MIDDLEWARE": "tokenauth.resource.middleware.ResourceServerMiddleware",
    "DJANGOS": "django.contrib.auth.middleware.AuthenticationMiddleware",
    "path": "'/auth/'",
    "type(value).__name__": "{type}",
}


def settings_page(text: str) -> str:
    """Fill in type and default below the heading of each setting."""
    settings = [setting for setting in vars(Conf).values() if isinstance(setting, Setting)]
    known = {setting.name: setting for setting in settings}
    described = HEADING.findall(text)
    if sorted(described) != sorted(known):
        differing = sorted(set(described) ^ set(known)) or described
        raise SystemExit(f"reference/settings.md must describe each setting once: {differing}")
    return HEADING.sub(lambda m: f"## `{m[1]}`\n\n*{summary(known[m[1]])}*\n\n", text)


def summary(setting: Setting[Any]) -> str:
    """Say in a line what a setting takes and what it is when it is left out."""
    names = [kind.__name__.replace("NoneType", "None") for kind in setting.fits]
    kinds = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    default = f"`{literal(setting.default)}`"
    if isinstance(setting, IdleLifetime | BrowserLifetime):
        default = f"`SESSION_COOKIE_AGE` if the site has set that, else {default}"
    if isinstance(setting, TokenLifetime):
        name = setting.name.removeprefix("TOKENAUTH_")
        default = f'`SIMPLE_JWT["{name}"]` if the site has that, else {default}'
    elif isinstance(setting, SecureUnlessDebug):
        default = "`not DEBUG`"
    return f"{kinds}; default {default}"


def literal(value: Any) -> str:
    """Return a default as one would write it into a settings file."""
    if not isinstance(value, timedelta):
        return repr(value)
    for unit, seconds in {"days": 86400, "hours": 3600, "minutes": 60}.items():
        count, rest = divmod(value.total_seconds(), seconds)
        if count > 1 and not rest:
            return f"timedelta({unit}={count:g})"
    return f"timedelta(seconds={value.total_seconds():g})"


def checks_page(text: str) -> str:
    """Write a section for every message that a check can give."""
    return between(text, "checks", "\n\n".join(check_sections()))


def check_sections() -> Iterator[str]:
    """Read the messages out of the source: most need a broken site to be seen."""
    found = {}
    for call in chain.from_iterable(map(calls, CHECKS)):
        keywords = {k.arg: k.value for k in call.keywords}
        if {"hint", "id"} <= keywords.keys():
            name = ast.literal_eval(keywords["id"])
            message, hint = words(call.args[0]), words(keywords["hint"]).replace("….", "…")
            found[name] = f"## `{name}`\n\n{message}\n\n*Hint:* {hint}"
    return (found[name] for name in sorted(found))


def calls(module: str) -> Iterator[ast.Call]:
    """Find every call in the source of one of our modules."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def words(node: ast.expr) -> str:
    """Return a message's text; what is only known when it is given stands as a name."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(words, node.values))
    if isinstance(node, ast.FormattedValue):
        name = ast.unparse(node.value)
        return WORDS.get(name, f"{{{name}}}")
    if isinstance(node, ast.BinOp):
        return words(node.left) + (words(node.right) or "…")
    if isinstance(node, ast.IfExp):
        return f"{words(node.body)} Or: {words(node.orelse)}"
    return ""


def commands_page(text: str) -> str:
    """Write how each command is called."""
    commands = (PACKAGE / "management" / "commands").glob("[!_]*.py")
    names = sorted(path.stem for path in commands)
    return between(text, "commands", "\n\n".join(map(command_section, names)))


def command_section(name: str) -> str:
    """Return a command's help without the options that every Django command has."""
    command = load_command_class("tokenauth", name)
    parser = CommandParser(prog=f"manage.py {name}", add_help=False)
    command.add_arguments(parser)
    rows = ["| option | |", "|---|---|", *map(option_row, parser._actions)]
    return f"## `{name}`\n\n{command.help}\n\n" + "\n".join(rows)


def option_row(action: argparse.Action) -> str:
    """Return a table's row for one option."""
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    default = f" (default {action.default})" if action.default and action.nargs != 0 else ""
    return f"| `{', '.join(action.option_strings)}{value}` | {action.help}{default} |"


def between(text: str, name: str, content: str) -> str:
    """Put content between a page's two marks."""
    begin, end = f"<!-- {name}: from the code -->", f"<!-- end of {name} -->"
    head, _, rest = text.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise SystemExit(f"The marks of {name!r} are missing.")
    return f"{head}{begin}\n\n{content}\n\n{end}{tail}"


PAGES = {
    "settings.md": settings_page,
    "checks.md": checks_page,
    "commands.md": commands_page,
}


def main() -> int:
    """Rewrite the pages, or say which would change."""
    parser = argparse.ArgumentParser(description="Fill in the reference pages.")
    parser.add_argument("--check", action="store_true", help="change nothing")
    check = parser.parse_args().check
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "demo_project.settings")
    django.setup()
    stale = 0
    for name, render in PAGES.items():
        page = REFERENCE / name
        before = page.read_text(encoding="utf-8")
        after = render(before)
        if after != before:
            stale += 1
            sys.stdout.write(f"{page.name} {'is out of date' if check else 'rewritten'}\n")
            if not check:
                page.write_text(after, encoding="utf-8")
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main())
