"""What the routes have in common: the listener they are at, the body they read, how they answer and refuse."""

from flask import Response, abort, g, jsonify, make_response, render_template, request

from fleetmint.service import identity
from fleetmint.service.resources import Resources
from fleetmint.x509.listeners import OPERATORS

# What speaks JSON
V1 = "/v1/"
# Enrollment over Secure Transport (RFC 7030, 3.2.2)
EST = "/.well-known/est/"


def only_at(listener: str) -> None:
    """Answer 404 to a request that came through another listener."""
    if identity.listener(request.environ) != listener:
        abort(404)


def operator(resources: Resources) -> str:
    """Return the name of the operator that asks; 404 at another listener, else as identity.peer raises."""
    only_at(OPERATORS)
    return identity.operator(resources.peer(OPERATORS, request.environ))


def read_body(largest: int) -> bytes:
    """Return the body of the request; answer 413 when it has more than `largest` bytes, 408 when it does not end."""
    if (request.content_length or 0) > largest:
        abort(413)
    try:
        data: bytes = request.stream.read(largest + 1)
    except OSError:  # the client stopped sending
        abort(408)
    if len(data) > largest:
        abort(413)
    return data


def json_answer(status: int, /, **values: object) -> Response:
    """Return a JSON object as answer; its `error` is the code by which a refusal is counted."""
    g.refused = values.get("error")
    response = jsonify(values)
    response.status_code = status
    return response


def page(template: str, status: int = 200, **values: object) -> Response:
    """Return a page for a person as answer."""
    return make_response(render_template(template, status=status, **values), status)


def refuse(status: int, error: str, message: str | None = None) -> Response:
    """Return a refusal: the code `error` and a sentence, in the form that clients of this route read."""
    g.refused = error
    if request.path.startswith(V1):
        return json_answer(status, error=error, **({} if message is None else {"message": message}))
    if request.path.startswith(EST):
        # what EST clients show to people as it is (RFC 7030, 4.2.3)
        said = error if message is None else f"{error}: {message}"
        return Response(f"{said}\n", status, mimetype="text/plain")
    return page("refused.html", status, message=message)


def retry(status: int, error: str, message: str, seconds: int) -> Response:
    """Return a refusal that is over in so many seconds."""
    response = refuse(status, error, message)
    response.headers["Retry-After"] = str(seconds)
    return response
