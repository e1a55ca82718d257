"""What uWSGI loads: `module = fleetmint.service.wsgi:application`, one application for each worker."""

from fleetmint import commands
from fleetmint.service import journal
from fleetmint.service.app import create_app
from fleetmint.service.config import config_path, load_config

journal.set_up()

commands.act_on_gateway()
application = create_app(load_config(config_path()))
