"""The trust bundle for devices: delivered as the controller made it. This gateway has no key that could change it."""

import logging

from flask import Response
from werkzeug.datastructures import ETags

from fleetmint.errors import StateError
from fleetmint.gateway.config import Config
from fleetmint.service.journal import event
from fleetmint.trust import bundle
from fleetmint.trust.bundle import Bundle

_log = logging.getLogger(__name__)

# Generation and version, such as 0.3: a device that holds a lower one comes for the bundle.
HEADER = "Fleetmint-Trust-Bundle"


def offered(config: Config) -> Bundle | None:
    """Return the bundle that the play has put here, None when there is none or none that devices would take."""
    if not config.trust_bundle.exists():
        return None
    try:
        # read each time: a new one needs no restart, and it is a file of a kilobyte
        found = bundle.load(config.trust_bundle)
        if found.site != config.site:
            raise StateError(f"{config.trust_bundle} is of the site {found.site!r}: install this site's")
    except StateError as error:
        _log.error("no trust bundle for devices: %s", error, extra=event("no_trust_bundle", reason=str(error)))
        return None
    return found


def announce(response: Response, config: Config) -> Response:
    """Add to an answer which bundle there is."""
    found = offered(config)
    if found is not None:
        response.headers[HEADER] = found.label
    return response


def answer(found: Bundle, known: ETags) -> Response:
    """Return the bundle, or 304 to a client that `known` says to have it."""
    response = Response(found.encode(), mimetype="application/octet-stream")
    if known.contains(found.label):
        response = Response(status=304)
    response.set_etag(found.label)
    response.headers[HEADER] = found.label
    return response
