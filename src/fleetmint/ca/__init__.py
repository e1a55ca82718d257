"""The CAs of a site on disk: made, used, replaced, and what gateways are given of them."""
