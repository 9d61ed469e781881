"""A real nginx before the servers of the tests."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.processes import PATIENCE

CONFIG = """
{module}
daemon off;
master_process off;
error_log {folder}/error.log;
pid {folder}/nginx.pid;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {http}
}}
"""


def find_nginx() -> str | None:
    """Return where nginx is: Debian puts it where only root looks."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def find_njs() -> Path | None:
    """Return where the module for JavaScript is, by Debian's habit."""
    module = Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
    return module if module.exists() else None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextmanager
def nginx(
    program: str, http: str, port: int, *, module: Path | None = None, script: str = ""
) -> Iterator[None]:
    """Run nginx with these directives in its ``http`` block, one of which listens on ``port``.

    ``module`` is loaded; ``script`` is what it imports.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # its worker may be another user
        file = folder / "nginx.conf"
        (folder / "tokens.js").write_text(script, "utf-8")
        http = http.replace("/etc/nginx", name).replace("/var/cache/nginx", name)
        load = f"load_module {module};" if module else ""
        file.write_text(CONFIG.format(folder=folder, http=http, module=load))
        process = subprocess.Popen([program, "-c", file, "-e", folder / "error.log"])  # noqa: S603  # our own words
        try:
            await_port(port, process)
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)


def await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until it listens. Raises RuntimeError if it gives up first."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{process.args} does not listen: what is wrong with its configuration?")
