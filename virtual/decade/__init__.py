"""Years of a site in an hour: the real gateway and the real plays under a clock that is moved, and a fleet of devices.

    faketime.py  the clock: of this process, of what it starts, and of the virtual Pi
    story.py     what happens on which day, as data
    wire.py      HTTPS and MQTT as a device speaks them
    device.py    one device: what it keeps, and what it does on a day
    site.py      the site: plays, timers, commands of an operator
    run.py       a story, day by day; what was refused, and what comes of it

systemd's clock is nobody's to move, so that its timers do not know of the days that pass: on each day the simulation
starts what they would have started.
"""
