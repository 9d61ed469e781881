"""The simulated day: a bound session shuts a thief out, and costs honest people nothing more."""

import importlib.util
import sys

import pytest

from tests.processes import ROOT

CHART = ROOT / "docs/images/simulation.svg"


@pytest.fixture(scope="module")
def simulation():
    """The script, loaded as a module."""
    spec = importlib.util.spec_from_file_location("simulation", ROOT / "docs/simulation.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # for its dataclasses
    spec.loader.exec_module(module)
    module.HONEST = module.ROBBED = 10
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("thief", ["timing, always within 25 s", "careless, every 5 min"])
def test_a_bound_session_shuts_every_thief_out_within_ten_minutes(simulation, thief):
    """Also the one whom rotation never finds; from his first use, not from the copy."""
    kind, life = simulation.THIEVES[thief]
    fate = simulation.live(simulation.Bound, life, 900, kind)[None]
    assert len(fate.ends) == 10
    assert all(end is not None and end - start <= 600 for start, end in fate.ends)


def test_a_bound_session_costs_honest_people_nothing_more(simulation):
    """What a bad network does, it does to both alike."""
    life = simulation.HONEST_LIVES["all three"]
    ours, bound = (
        simulation.live(kind, life, 900, None) for kind in (simulation.Ours, simulation.Bound)
    )
    assert bound[None].ends == ours[None].ends


def test_the_chart_has_a_sign_for_every_rule(simulation):
    """In its legend, and in what it tells who cannot see it."""
    chart = CHART.read_text(encoding="utf-8")
    for server in simulation.SERVERS:
        assert f">{server.name}<" in chart
        assert f"{server.name} 0" in chart or f"{server.name} 100" in chart
