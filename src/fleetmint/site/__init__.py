"""The controller's view of a site: what lies where in its state, its certificates, and asking its gateways."""
