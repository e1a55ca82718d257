"""What a machine of a site that is no board is told before it hears its gateway for the first time."""

from fleetmint.batch import overview
from fleetmint.documents.reach import FirstContact, Reach
from fleetmint.site.state import Site
from fleetmint.trust import bundle


def first_contact(site: Site, gateway: str, device: str) -> FirstContact:
    """Return where a device finds this gateway of a site, by the class of its batch, and the site's trust bundle.

    Raises StateError when the site has no such gateway, or no trust bundle yet, and FleetmintError when that gateway
    has no listeners of the class.
    """
    found = site.batch_values().gateways[gateway].of_class(overview.classes(site.batches).get(device))
    reach = Reach(found.host, found.https_port, found.mqtt_port)
    return FirstContact(reach, bundle.load(site.ca_directory / bundle.FILE))
