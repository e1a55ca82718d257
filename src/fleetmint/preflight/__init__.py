"""What can be known to be wrong before anything is made: the site's variables, the vault, the clocks, the gateways.

    problem    one thing that is wrong: which variable, what about it, what to do
    variables  what an inventory says, and the check of all of it
    spelling   variables that nobody reads, and which one was meant
    reading    what a value has to be, one function for each kind
    clock      whether the time of this machine can be right
    gateway    what a Pi says about itself, judged

Nothing in here asks a machine or changes one. Every problem is found, so that all can be mended at once.
"""
