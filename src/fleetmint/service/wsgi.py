"""What uWSGI loads: `module = fleetmint.service.wsgi:application`, one application for each worker."""

import uwsgi  # type: ignore[import-untyped]

from fleetmint import commands
from fleetmint.gateway.config import config_path, load_config
from fleetmint.service import journal
from fleetmint.service.app import create_app
from fleetmint.service.counters import Counters

commands.act_on_gateway()
config = load_config(config_path())
journal.set_up(config.log_format)
application = create_app(config, counters=Counters(config.counters, f"worker-{uwsgi.worker_id()}"))
