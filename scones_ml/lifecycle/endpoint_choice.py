"""Choice of the running endpoint that a command uses."""

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
    """The endpoint of a name; without a name the only one, or any if all have the same facts.

    Args:
        endpoints: all running endpoints.
        name: name of the endpoint.
        facts: returns the facts that have to be equal.
        meant: whether an endpoint may be chosen without a name.

    Returns:
        The endpoint; None when none was named and none qualifies.

    Raises:
        ConfigurationError: there is none of that name, or several differ.
    """
    running = {endpoint.name: endpoint for endpoint in endpoints}
    if name is not None:
        if name not in running:
            known = f"choose from {', '.join(running)}" if running else "none is running"
            raise ConfigurationError(f"there is no endpoint {name!r}: {known}")
        return running[name]
    found = [endpoint for endpoint in running.values() if meant(endpoint)]
    if len({facts(endpoint) for endpoint in found}) > 1:
        names = ", ".join(endpoint.name for endpoint in found)
        raise ConfigurationError(f"several endpoints are running ({names}): choose one with --endpoint")
    return found[0] if found else None
