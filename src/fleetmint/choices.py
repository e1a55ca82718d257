"""Words between which people choose on the command line, where the library has them from, too. Imports nothing.

They stand apart from what is done with them, so that help and completion need not wait for a ledger and a CA.
"""

# Why a certificate is revoked: RFC 5280, 5.3.1, as pyca/cryptography names them.
REASONS = ("unspecified", "key_compromise", "affiliation_changed", "superseded", "cessation_of_operation")

# What the operator CA issues: whoever comes in at the operators' listeners.
OPERATOR_PROFILES = ("operator", "station", "dashboard", "operator-rsa")

# What a certificate may be shown as, at a listener of a gateway or by one.
LISTENERS = DEVICE, OPERATOR, SERVER = ("device", "operator", "server")

# The kinds of keys of leaves.
KEY_KINDS = P256, RSA = ("P-256", "RSA-3072")

# How a PKCS #12 file is encrypted.
ENCRYPTIONS = MODERN, LEGACY = ("modern", "legacy")

# How a unit of a batch stands in the factory's ledger.
UNIT_STATES = PLANNED, CLAIMED, BURNED, QUARANTINED, RETURNED = (
    "planned",
    "claimed",
    "burned",
    "quarantined",
    "returned",
)

# Whether a person approves a device's first certificate, and what a token is good for beside the device's name.
APPROVALS = AUTO, MANUAL = ("auto", "manual")
TOKEN_BINDINGS = UNBOUND, TO_MAC = ("none", "mac")

# What a class of devices speaks at least: a listener of its own, or the one of all, takes nothing below it.
TLS_CLASSES = TLS12, TLS13 = ("tls12", "modern")

# What labels are printed from.
LABEL_FORMATS = ("pdf", "svg", "csv")

# How the signing service writes to the journal.
LOG_FORMATS = TEXT_LOG, JSON_LOG = ("text", "json")

# A version of a trust bundle is four bytes.
MAX_BUNDLE_VERSION = 0xFFFFFFFF
