"""Names of the files of a batch that others look for: apart, since completion has no time for how they are made."""

# What the gateway and everybody at the bench may know of the devices.
REGISTRATION = "registration.json"
# What the batch is for.
DESCRIPTION = "batch.json"
