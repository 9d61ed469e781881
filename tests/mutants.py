"""Break the code on purpose, some thousand times, and list what no test notices.

``make mutants`` runs this; ``python -m tests.mutants request/settlement`` does it for that room's
group. mutmut does the work, on a copy in build/. It fails when too many mutants survive, or one for
which docs/mutants.md gives no reason; the table in there is written by this.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "mutants"
PAGE = ROOT / "docs" / "mutants.md"
#: Modules, and the tests that are to notice. Quick ones: a survivor costs all of them.
QUICK = (
    "session/test_tokens session/test_rotation request/test_cookies request/test_settlement "
    "request/test_caching api/test_views test_models test_middleware test_authentication"
)
CORE = (
    "session/tokens session/rotation session/lookups session/transitions request/cookies models "
    "middleware"
)
GROUPS = {
    CORE: QUICK,
    # Only servers show how it follows Django's own logins, and what a person is told.
    "request/settlement": f"{QUICK} request/test_django_sessions request/test_adoption "
    "test_passwords pages/test_login_page",
}
#: Servers of both kinds run one body. And in a mutant a function has another name and line than
#: ``sensitive_variables`` knows, so what a debug report hides is not to be seen there.
LEFT_OUT = "not asgi and not debug_report"
#: These change nothing but debug reports and the time a call takes; behind a cache, though, most
#: tests would not reach the mutant.
DROPPED = ("sensitive_variables()", "lru_cache(maxsize=64)")
#: The settings choose the database's name once, before mutmut forks: mutants would share it.
OWN_DATABASE = """
@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    settings.DATABASES["default"]["TEST"]["NAME"] += f".{os.getpid()}"
"""
#: A timeout is a mutant that does not come back.
NOTICED = ("killed", "timeout")
ENOUGH = 0.9


class Mutant(NamedTuple):
    """A change to the code, and what became of it. The change of a killed one is not asked for."""

    module: str
    fate: str
    change: str


def undecorate(source: str) -> str:
    """Write ``f = property(f)`` for ``@property``, because mutmut skips what is decorated."""
    lines = source.splitlines(keepends=True)
    for function in reversed(list(decorated(ast.parse(source)))):
        names = [ast.unparse(decorator) for decorator in function.decorator_list]
        kept = [name for name in names if name not in DROPPED]
        body = lines[function.lineno - 1 : function.end_lineno]
        indent = " " * function.col_offset
        if kept == ["classmethod"]:  # mutmut knows this one
            body.insert(0, f"{indent}@classmethod\n")
        else:
            wrappers = "".join(f"{name}(" for name in kept) + function.name + ")" * len(kept)
            body.append(f"{indent}{function.name} = {wrappers}\n" if kept else "")
        lines[function.decorator_list[0].lineno - 1 : function.end_lineno] = body
    return "".join(lines)


def decorated(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Find the decorated functions and methods, in order. A protocol's have nothing to mutate."""
    for node in tree.body:
        is_protocol = isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
        for child in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(child, ast.FunctionDef) and child.decorator_list and not is_protocol:
                yield child


def copy_to(folder: Path, modules: list[str], tests: list[str]) -> None:
    """Copy what mutmut needs, with its settings."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("tokenauth", "tests", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    files = [f"tokenauth/{module}.py" for module in modules]
    for path in map(folder.joinpath, files):
        path.write_text(undecorate(path.read_text()))
    with (folder / "tests" / "conftest.py").open("a") as conftest:
        conftest.write(OWN_DATABASE)
    settings = {
        "source_paths": ["tokenauth"],
        "only_mutate": files,
        "also_copy": ["templates"],
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-k", LEFT_OUT],
        "pytest_add_cli_args_test_selection": [f"tests/{name}.py" for name in tests],
        "process_isolation": "forkserver",  # each mutant starts from a process that ran no test
        "timeout_constant": 30.0,  # a busy machine needs long to make a database
    }
    toml = (ROOT / "pyproject.toml").read_text() + "\n[tool.mutmut]\n"
    toml += "".join(f"{key} = {value!r}\n" for key, value in settings.items())
    (folder / "pyproject.toml").write_text(toml)


def mutmut(folder: Path, *words: str) -> str:
    """Run one of mutmut's commands; it shows its progress, and we keep what it answers."""
    command = [str(Path(sys.executable).with_name("mutmut")), *words]
    with tempfile.TemporaryDirectory() as scratch:  # databases of mutants that were killed
        stdout = None if words[0] == "run" else subprocess.PIPE
        environment = os.environ | {"TMPDIR": scratch}
        done = subprocess.run(  # noqa: S603  # our own words
            command, cwd=folder, env=environment, check=True, stdout=stdout, text=True
        )
    return done.stdout or ""


def results(folder: Path) -> Iterator[Mutant]:
    """Ask mutmut what became of each mutant."""
    found = mutmut(folder, "results", "--all", "true")
    for name, fate in re.findall(r"^\s*(\S+): (.+)$", found, re.MULTILINE):
        diff = "" if fate in NOTICED else mutmut(folder, "show", name)
        lines = re.findall(r"^([-+])(?!\1{2} )\s*(.*)$", diff, re.MULTILINE)
        yield Mutant(module_of(name), fate, "\n".join(sign + code for sign, code in lines))


def module_of(mutant: str) -> str:
    """Return the room that stands in a mutant's name: ``session/tokens``."""
    return "/".join(part for part in mutant.split(".")[1:-1])


def table(mutants: list[Mutant]) -> str:
    """Count by module, in Markdown."""
    made = Counter(mutant.module for mutant in mutants)
    noticed = Counter(mutant.module for mutant in mutants if mutant.fate in NOTICED)
    rows = [(f"`{module}`", noticed[module], made[module]) for module in made]
    rows.append(("all", noticed.total(), made.total()))
    cells = [f"| {name} | {n} | {k - n} | {n / k:.1%} |" for name, n, k in rows if k]
    return "\n".join(["| module | killed | survived | |", "| --- | --: | --: | --: |", *cells])


def describe_code() -> str:
    """Say which code was tried: the commit, and whether the checkout differed from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  # our own words
    return done.stdout.strip() or "no commit"


def main(chosen: list[str]) -> int:
    """Run the groups of the chosen modules, or all; return whether something is to be done."""
    mutants: list[Mutant] = []
    for number, (modules, tests) in enumerate(GROUPS.items()):
        if not chosen or set(chosen) & set(modules.split()):
            copy_to(WORK / str(number), modules.split(), tests.split())
            mutmut(WORK / str(number), "run")
            mutants += results(WORK / str(number))
    page = PAGE.read_text()
    unexplained = [m for m in mutants if m.fate not in NOTICED and m.change not in page]
    report = f"Commit `{describe_code()}`:\n\n{table(mutants)}\n"
    print("", report, *unexplained, sep="\n")  # noqa: T201  # its purpose
    if not chosen:
        parts = re.split(r"(?<=<!-- numbers -->\n).*(?=<!-- end -->)", page, flags=re.DOTALL)
        PAGE.write_text(report.join(parts))
    killed = sum(mutant.fate in NOTICED for mutant in mutants)
    return bool(unexplained) or killed < ENOUGH * len(mutants)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
