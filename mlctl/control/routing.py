"""The routes of all endpoints together: each reconciler changes its own, the gateway gets the whole."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from mlctl.gateway.publish import Gateway
from mlctl.planning.routes import EndpointRoutes


class RoutingTable:
    """What the gateway was last asked to serve."""

    def __init__(self, gateway: Gateway, routes: Mapping[str, EndpointRoutes]) -> None:
        self._gateway = gateway
        self._routes = dict(routes)
        self._lock = threading.Lock()

    def publish_all(self) -> None:
        """Publish everything as it is known."""
        with self._lock:
            self._gateway.publish(self._routes)

    def apply(self, endpoint: str, routes: EndpointRoutes | None) -> bool:
        """Replace one endpoint's routes (None: remove them) and wait until they serve; False when nothing changed.

        GatewayRejected: the table stays as it was. BackendUnavailable: Envoy did not answer; call again.
        """
        with self._lock:
            if self._routes.get(endpoint) == routes:
                return False
            wanted = {name: other for name, other in self._routes.items() if name != endpoint}
            if routes is not None:
                wanted[endpoint] = routes
            self._gateway.publish(wanted)
            self._routes = wanted
            return True
