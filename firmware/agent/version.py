# The version of Fleetmint that this agent belongs to.

VERSION = "0.1.0"
