"""How the key of a device CA is kept on its gateway: plain, or sealed by systemd.

Beside ca.crt lies one of these, which says how:

ca.key    the key, unencrypted PEM, for one account
ca.cred   the same as an encrypted credential of systemd: it opens on this machine only, see `sealer`

What gateway.toml wants is another matter: the next installation brings both together.
"""
