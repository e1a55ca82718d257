# What can go wrong on a device, told apart by what the agent does next.

# Something failed that may work later: the agent backs off and tries again.
#
# The message is printed on the console as it is, so it never holds a value of the NVS that is secret.
# `retry_after` is how many seconds the gateway asked for, 0 when it asked for nothing.


class Problem(Exception):
    def __init__(self, message, retry_after=0):
        super().__init__(message)
        self.retry_after = retry_after


# The gateway answered and does not want this request: trying again at once is no use.


class Refused(Problem):
    def __init__(self, message, retry_after=0, status=0, code=""):
        super().__init__(message, retry_after)
        # Of the gateway's answer; 0 and "" when the device itself found its identity unusable.
        self.status = status
        self.code = code


# The gateway has the request, and somebody has to approve it: the same one is to come again.


class Waiting(Problem):
    pass


# The certificate of the gateway is outside its dates: it may be the clock of the device that is wrong.


class WrongTime(Problem):
    pass


# There is no way to the gateway, and nobody there who is spared by waiting longer.


class NoNetwork(Problem):
    pass


# The NVS lacks what only the factory can write: trying again is no use at all.


class Missing(Exception):
    def __init__(self, key):
        super().__init__(f"the NVS has no {key}: burn this device again")
        self.key = key


# The heap is too small or too scattered for a connection: it may do when another one is closed.


class NoMemory(Problem):
    pass
