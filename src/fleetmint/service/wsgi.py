"""What uWSGI loads: `module = fleetmint.service.wsgi:application`, one application for each worker."""

from fleetmint import commands
from fleetmint.gateway.config import config_path, load_config
from fleetmint.service import journal
from fleetmint.service.app import create_app

journal.set_up()

commands.act_on_gateway()
application = create_app(load_config(config_path()))
