"""The weather, for people whom the authorization server knows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request

from .person import Person, revocations


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Leave no connection open."""
    yield
    await revocations.close()


app = FastAPI(lifespan=lifespan)


@app.api_route("/api/weather/", methods=["GET", "POST", "PUT"])
async def weather(request: Request, person: Person) -> dict[str, Any]:
    """Say what arrived here; of cookies their names alone."""
    return {
        "server": "weather",
        "cookies": sorted(request.cookies),
        "queries": None,
        "person": f"{person['username']}, person {person['sub']}",
        "bytes": len(await request.body()),
    }
