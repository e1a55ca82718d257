"""A batch from its file to the images of its boards, in one process that does nothing else: what batch.py measures.

python benchmarks/end_to_end.py STATE
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from fleetmint.cli import root

PSK = "correct horse battery"


def new(state: Path) -> list[str]:
    """Return the arguments that make the batch of spring.yml in a state."""
    wifi = f"file:{state / 'networks'}"
    return ["batch", "new", f"{state / 'spring.yml'}", "--state", str(state), "--wifi-passphrases", wifi]


def make_images(directory: Path) -> None:
    """Make the NVS image of each device of a batch, as the bench does; none is kept."""
    from fleetmint.batch import secrets  # after the command, as it imports them
    from fleetmint.batch.image import nvs_entries
    from fleetmint.batch.secrets import BatchSecrets
    from fleetmint.flash.table import stock
    from fleetmint.nvs.encode import encode
    from fleetmint.passphrases import open_source

    store = secrets.open_store(directory, open_source(f"file:{directory.parents[1] / 'passphrases'}"))
    settings, size, now = store.settings(), stock("4MiB").find("nvs").size, datetime.now(UTC)
    if settings is None:
        raise SystemExit(f"{directory} has no settings")
    for device, secret in store.secrets().read():
        encode(nvs_entries(device, BatchSecrets(settings, {device: secret}), now), size)


if __name__ == "__main__":
    root(new(Path(sys.argv[1])), standalone_mode=False)
    make_images(Path(sys.argv[1]) / "batches/spring")
