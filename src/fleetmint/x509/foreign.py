"""Keys and containers of other programs, called what they are, with what to do: nothing here opens one."""

import base64
import binascii
import json
import re
from typing import Any

from fleetmint.x509.finding import Finding
from fleetmint.x509.pem import text_of

_NEW_KEY = "certificates want a key of their own: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
_FOR_LOGINS = f"OpenSSH logs in with it, and {_NEW_KEY}"
_OPENSSH_MAGIC = b"openssh-key-v1\0"
_SSH_LINE = re.compile(
    r"^(?:[^#\n]*?\s)?((?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+)\s+(AAAA[A-Za-z0-9+/]+=*)", re.MULTILINE
)
_PUTTY = re.compile(r"\APuTTY-User-Key-File-(\d): ([A-Za-z0-9-]+)\nEncryption: (\S+)")
_SSH_KINDS = {
    "ssh-ed25519": "Ed25519",
    "ssh-rsa": "RSA",
    "ssh-dss": "DSA",
    "ecdsa-sha2-nistp256": "EC P-256",
    "ecdsa-sha2-nistp384": "EC P-384",
    "ecdsa-sha2-nistp521": "EC P-521",
    "sk-ssh-ed25519@openssh.com": "Ed25519 in a security key",
    "sk-ecdsa-sha2-nistp256@openssh.com": "EC P-256 in a security key",
}
_KEYSTORES = {b"\xfe\xed\xfe\xed": "JKS", b"\xce\xce\xce\xce": "JCEKS"}
_TO_PKCS12 = (
    "keytool -importkeystore -srckeystore FILE -destkeystore FILE.p12 -deststoretype PKCS12 makes PKCS #12 of it"
)
# Labels of PEM that hold nothing to look into; words, and what to do.
_LABELS = {
    "EC PARAMETERS": ("the name of a curve, which OpenSSL writes in front of a key", None),
    "DH PARAMETERS": ("parameters of Diffie-Hellman, without a key", None),
    "DSA PARAMETERS": ("parameters of DSA, without a key", None),
    "ATTRIBUTE CERTIFICATE": ("an attribute certificate, which carries no key", None),
    "PGP PUBLIC KEY BLOCK": ("an OpenPGP public key", "gpg reads it"),
    "PGP PRIVATE KEY BLOCK": ("an OpenPGP private key", "gpg reads it"),
    "PGP MESSAGE": ("an OpenPGP message, encrypted or signed", "gpg reads it"),
    "PGP SIGNATURE": ("an OpenPGP signature", "gpg --verify checks it"),
    "AGE ENCRYPTED FILE": ("a file encrypted by age", "age --decrypt opens it"),
    "SSH SIGNATURE": ("a signature by an SSH key", "ssh-keygen -Y verify checks it"),
    "OpenVPN Static key V1": ("a static key of OpenVPN", None),
}


def label_finding(label: str) -> Finding:
    """Describe a PEM block of which this package reads no more than its label."""
    words, advice = _LABELS.get(label, (f"a PEM block {label!r}, which this command does not know", None))
    return Finding("unknown" if label not in _LABELS else "foreign", words, {"pem": label, **_advice(advice)})


def openssh_private_key(data: bytes) -> Finding:
    """Describe what is in a block OPENSSH PRIVATE KEY (OpenSSH, PROTOCOL.key); raise ValueError for a damaged one."""
    if not data.startswith(_OPENSSH_MAGIC):
        raise ValueError("no OpenSSH private key")
    at, fields = len(_OPENSSH_MAGIC), []
    for _ in range(3):  # cipher, its key derivation, and the options of that
        field, at = _string(data, at)
        fields.append(field)
    public, _ = _string(data, at + 4)  # how many keys there are, which is one
    kind, _ = _string(public, 0)
    encrypted = fields[0] != b"none"
    facts: dict[str, Any] = {
        "encrypted": encrypted,
        "form": "OPENSSH PRIVATE KEY",
        "key": _ssh_kind(kind.decode("ascii", "replace")),
        "what_to_do": _FOR_LOGINS,
    }
    state = "encrypted" if encrypted else "not encrypted"
    return Finding("private key", f"an OpenSSH private key, {facts['key']}, {state}", facts)


def foreign_findings(data: bytes) -> list[Finding]:
    """Return what `data` is when it is a key or a container of another program; empty for anything else."""
    if data[:4] in _KEYSTORES:
        kind = _KEYSTORES[data[:4]]
        return [_foreign("keystore", f"a Java keystore ({kind}): keys and certificates, encrypted", _TO_PKCS12)]
    text = text_of(data)
    if text is None:
        return []
    text = text.lstrip()
    if putty := _PUTTY.match(text):
        state = "not encrypted" if putty[3] == "none" else "encrypted"
        title = f"a PuTTY private key (version {putty[1]}), {_ssh_kind(putty[2])}, {state}"
        advice = f"puttygen FILE -O private-openssh makes an OpenSSH key of it for logins; {_NEW_KEY}"
        return [_foreign("private key", title, advice, encrypted=state == "encrypted")]
    if text.startswith("---- BEGIN SSH2 PUBLIC KEY ----"):
        return [_foreign("public key", "an SSH public key in the form of RFC 4716", _FOR_LOGINS)]
    if text.startswith("$ANSIBLE_VAULT;"):
        return [_foreign("vault", "a file encrypted by ansible-vault", "ansible-vault view FILE shows what is in it")]
    return _ssh_lines(text) or _jwk(text)


def _ssh_lines(text: str) -> list[Finding]:
    found = []
    for match in _SSH_LINE.finditer(text):
        try:
            kind = _string(base64.b64decode(match[2] + "=" * (-len(match[2]) % 4), validate=True), 0)[0]
        except (ValueError, binascii.Error):
            continue
        if kind.decode("ascii", "replace") == match[1]:
            what = "an OpenSSH certificate" if "-cert-v" in match[1] else "an OpenSSH public key"
            found.append(_foreign("public key", f"{what}, {_ssh_kind(match[1])}", _FOR_LOGINS))
    return found


def _jwk(text: str) -> list[Finding]:
    try:
        document = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return []
    keys = document.get("keys", [document]) if isinstance(document, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) and "kty" in key for key in keys):
        return []
    private = any("d" in key or "k" in key for key in keys)
    title = f"{'a private key' if private else 'a public key'} as JSON (JWK)"
    return [_foreign("private key" if private else "public key", title, _NEW_KEY)]


def _foreign(kind: str, title: str, advice: str, **facts: Any) -> Finding:
    return Finding(kind, title, {**facts, **_advice(advice)})


def _advice(text: str | None) -> dict[str, str]:
    return {} if text is None else {"what_to_do": text}


def _ssh_kind(name: str) -> str:
    plain = re.sub(r"-cert-v\d\d@openssh\.com$", "", name)
    return _SSH_KINDS.get(name) or _SSH_KINDS.get(plain) or _SSH_KINDS.get(f"{plain}@openssh.com") or name


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the string of SSH at `at` (RFC 4251, section 5), and where it ends."""
    start = at + 4
    end = start + int.from_bytes(data[at:start], "big")
    if len(data) < end or start > len(data):
        raise ValueError("a string is cut off")
    return data[start:end], end
