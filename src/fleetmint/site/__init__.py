"""The controller's view of a site: its certificates, revoking them, and whether its state keeps its promises."""
