"""What a machine of a site that is no board is told before it hears its gateway for the first time."""

from fleetmint.documents.reach import FirstContact, Reach
from fleetmint.site.state import Site
from fleetmint.trust import bundle


def first_contact(site: Site, gateway: str) -> FirstContact:
    """Return where devices find this gateway of a site, and the site's trust bundle.

    Raises StateError when the site has no such gateway, or no trust bundle yet.
    """
    found = site.batch_values().gateways[gateway]
    reach = Reach(found.host, found.https_port, found.mqtt_port)
    return FirstContact(reach, bundle.load(site.ca_directory / bundle.FILE))
