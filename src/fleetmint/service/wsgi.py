"""What uWSGI loads: `module = fleetmint.service.wsgi:application`, one application for each worker."""

import logging

from fleetmint import commands
from fleetmint.service.app import create_app
from fleetmint.service.config import config_path, load_config

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")  # the journal adds time and process

commands.act_on_gateway()
application = create_app(load_config(config_path()))
