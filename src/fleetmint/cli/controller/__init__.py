"""The commands of the controller: CAs, operators, revocation, the fleet."""
