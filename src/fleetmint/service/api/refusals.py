"""Every code of a refusal, with its status and what it means: `error` in the body, beside a sentence in `message`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Refusal(NamedTuple):
    """What a code comes with: its HTTP status, and what is wrong, for whoever wrote the client."""

    status: int
    text: str


REFUSALS: Mapping[str, Refusal] = MappingProxyType(
    {
        # what was asked
        "bad_query": Refusal(400, "a parameter is unknown, given twice, or has no such value"),
        "bad_request": Refusal(400, "the body is not the JSON object that this route takes"),
        "bad_encoding": Refusal(400, "the CSR is no PKCS #10 request in base64 or PEM"),
        "bad_name": Refusal(400, "the device id is none, or the CSR names somebody else"),
        "bad_key": Refusal(400, "the key is not EC on P-256"),
        "bad_hash": Refusal(400, "the CSR is signed with a hash that is not taken any more"),
        "bad_signature": Refusal(400, "the CSR is not signed by its own key"),
        "bad_extension": Refusal(400, "the CSR asks for extensions"),
        "bad_attribute": Refusal(400, "the CSR is bound to a TLS connection, which ends before the service"),
        "weak_key": Refusal(400, "the private key is known to everybody"),
        "key_in_use": Refusal(400, "the key belongs to another device, or to the CA"),
        "key_retired": Refusal(400, "the key is of an earlier owner of this device"),
        # who asked
        "certificate_needed": Refusal(401, "there is no client certificate, or nginx did not accept it"),
        "credentials_needed": Refusal(401, "neither a client certificate nor HTTP Basic with device id and token"),
        "certificate_refused": Refusal(403, "the certificate is good for nothing here"),
        "superseded": Refusal(403, "the device uses a later certificate, and the time of this one is over"),
        "refused": Refusal(403, "no right to a certificate; strangers are not told why"),
        "approval_denied": Refusal(403, "an operator has denied this request"),
        "wrong_board": Refusal(403, "the token is good on another board only"),
        "too_many_keys": Refusal(403, "too many keys have asked with this token: the device needs a new one"),
        # what waits, with the time to come back in Retry-After
        "approval_pending": Refusal(202, "an operator has to approve the request: send it again"),
        "handover_pending": Refusal(202, "the bench has not told yet which board this is: send it again"),
        # what is not there, or not so
        "not_found": Refusal(404, "there is no such route at this listener"),
        "not_offered": Refusal(404, "this gateway does not do that; the sentence says what to do instead"),
        "no_such_device": Refusal(404, "the ledger of this gateway has no such device"),
        "no_such_crl": Refusal(404, "this gateway has no CRL of that name"),
        "no_trust_bundle": Refusal(404, "this gateway has no trust bundle yet"),
        "method_not_allowed": Refusal(405, "the route has other methods, which `Allow` names"),
        "document_refused": Refusal(409, "the document contradicts itself or the ledger; the sentence says where"),
        "new_key_needed": Refusal(409, "the factory made this key: renew with one that the device has made"),
        # how it was asked
        "request_timeout": Refusal(408, "the body did not come to its end"),
        "request_entity_too_large": Refusal(413, "the body is larger than this route takes"),
        "too_large": Refusal(413, "the CSR is larger than any good one"),
        "unsupported_media_type": Refusal(415, "the body has to be called application/json"),
        "too_many_failures": Refusal(429, "too many refusals in a row: Retry-After says when to come back"),
        # what is no fault of the client
        "internal_error": Refusal(500, "a mistake in the service, of which its journal has the details"),
        "unavailable": Refusal(503, "not now: Retry-After says when to come back"),
    }
)
