"""Which of the endpoints that run a command is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scones_ml.errors import ConfigurationError
from scones_ml.ports import Endpoint

__all__ = ["choose_endpoint"]


def choose_endpoint(
    endpoints: Iterable[Endpoint],
    name: str | None = None,
    facts: Callable[[Endpoint], object] = lambda endpoint: endpoint.name,
    meant: Callable[[Endpoint], bool] = lambda _: True,
) -> Endpoint | None:
    """The endpoint of that name; without a name the only one, or any of those that are alike in what matters.

    Args:
        endpoints: all that run.
        name: of the endpoint.
        facts: what they have to be alike in.
        meant: whether one can be meant that was not named.

    Returns:
        None when none was named, and none runs that can be meant.

    Raises:
        ConfigurationError: there is none of that name, or several that differ.
    """
    running = {endpoint.name: endpoint for endpoint in endpoints}
    if name is not None:
        if name not in running:
            are = f"running are {', '.join(running)}" if running else "none is running"
            raise ConfigurationError(f"there is no endpoint {name!r}: {are}")
        return running[name]
    found = [endpoint for endpoint in running.values() if meant(endpoint)]
    if len({facts(endpoint) for endpoint in found}) > 1:
        names = ", ".join(endpoint.name for endpoint in found)
        raise ConfigurationError(f"several endpoints are running ({names}): choose one with --endpoint")
    return found[0] if found else None
