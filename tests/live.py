"""Real servers in the tests' own process, where a travelled clock and new settings reach them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.signals import setting_changed
from django.db import connections
from django.db.backends.signals import connection_created


class Application:
    """A WSGI or ASGI application that is loaded anew after a change of settings.

    Django's handlers keep the middleware that they were loaded with.
    """

    def __init__(self, handler_class: type) -> None:
        self.handler_class = handler_class
        self.forget()
        setting_changed.connect(self.forget)  # weakly: ends with the server

    def forget(self, **kwargs: Any) -> None:
        self.handler = None

    def __call__(self, *args: Any) -> Any:
        handler = self.handler = self.handler or self.handler_class()
        return handler(*args)


class QuietHandler(WSGIRequestHandler):
    disable_nagle_algorithm = True  # 40 ms for each answer that is written in two pieces

    def log_message(self, *args: Any) -> None:
        pass


class WSGIServer(ThreadedWSGIServer):
    """Django's development server, made to leave no thread behind."""

    daemon_threads = False  # the others are joined at the end

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), QuietHandler)
        self.clients: set[socket.socket] = set()
        self.set_app(Application(WSGIHandler))

    def process_request(self, request: socket.socket, client_address: Any) -> None:
        self.clients.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: socket.socket) -> None:
        self.clients.discard(request)
        super().close_request(request)

    def server_close(self) -> None:
        for client in tuple(self.clients):  # kept alive, with a thread that waits for more
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        super().server_close()


@contextmanager
def serve_wsgi() -> Iterator[int]:
    """Serve over Django's threaded WSGI server; give the port."""
    with WSGIServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="wsgi")
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def serve_asgi() -> Iterator[int]:
    """Serve over uvicorn; give the port."""
    config = uvicorn.Config(
        Application(ASGIHandler),
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # clients may queue from here on
        thread = threading.Thread(target=server.run, args=([listener],), name="asgi")
        thread.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join()


SERVERS: dict[str, Callable[[], Any]] = {"wsgi": serve_wsgi, "asgi": serve_asgi}


class Server:
    """A running server: ``kind``, ``port``, ``pid`` if not this one, and the queries it made."""

    def __init__(self, kind: str, port: int, pid: int = 0) -> None:
        self.kind = kind
        self.port = port
        self.pid = pid

    @contextmanager
    def count_queries(self) -> Iterator[list[str]]:
        """Collect the SQL of every query the server makes meanwhile, in whichever thread.

        Each request opens a connection of its own, which is how this gets to see them all. What
        Django says to a database while it connects does not count.
        """
        queries: list[str] = []
        connected: dict[Any, Any] = {}
        tests_thread = threading.current_thread()

        def record(execute, sql, params, many, context):
            connection = context["connection"]
            asks_version = sql.lstrip().startswith("SELECT VERSION()")  # MariaDB's, when needed
            if connected[connection] is connection.connection and not asks_version:
                queries.append(sql)
            return execute(sql, params, many, context)

        def listen(connection, **kwargs):
            if threading.current_thread() is tests_thread:
                return
            connected[connection] = connection.connection
            if record not in connection.execute_wrappers:
                connection.execute_wrappers.append(record)

        connection_created.connect(listen)
        try:
            yield queries
        finally:
            connection_created.disconnect(listen)


@contextmanager
def serve(kind: str) -> Iterator[Server]:
    """Run a server of this kind ("wsgi" or "asgi") until the block ends."""
    with SERVERS[kind]() as port:
        yield Server(kind, port)
    connections.close_all()
