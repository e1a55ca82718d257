"""Variables that had other names in the version before: these work once more, with a line that says the new one."""

from collections.abc import Collection, Mapping

# What one role read of another is the site's.
RENAMED: Mapping[str, str] = {
    "ca_root": "fleet_ca_root",
    "mosquitto_devices_port": "fleet_listen_mqtt_port",
    "mosquitto_operators_port": "fleet_listen_operators_mqtt_port",
    "nginx_addresses": "fleet_listen_addresses",
    "nginx_devices_port": "fleet_listen_https_port",
    "nginx_operators_port": "fleet_listen_operators_https_port",
    "nginx_plain_port": "fleet_listen_http_port",
    "operators_root_dir": "fleet_ca_root_dir",
    "operators_station": "fleet_station",
}


def used(names: Collection[str]) -> dict[str, str]:
    """Return the old names among `names`, those that are set, whose new name is not: each with its new one."""
    return {old: new for old, new in RENAMED.items() if old in names and new not in names}


def sentence(old: str, new: str) -> str:
    """Return the line that a person gets."""
    return f"{old} is called {new} now; the old name works for one more version: rename it in your inventory"
