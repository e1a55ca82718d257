# The agent that gives a device its identity and keeps it connected. Products call `run` and nothing else.


def run(read, on_message=None, every=5, ntp=None):
    """Keep the device connected and publish what `read` returns; returns only when the NVS lacks something.

    read() -> dict: one reading, as JSON can say it. `n` (a count) and `uptime` (seconds) are added.
    on_message(topic, payload): called for each message to this device; topic is what follows devices/<id>/in/.
    every: seconds between two readings.
    ntp: the server to ask for the time after power-on, instead of the gateway.

    An exception in either function is printed and does not stop the agent.
    """
    import esp32
    import machine
    import network

    from agent import nvs_keys
    from agent.agent import Agent

    Agent(
        nvs=esp32.NVS(nvs_keys.NAMESPACE),
        wlan=network.WLAN(network.STA_IF),
        rtc=machine.RTC(),
        read=read,
        on_message=on_message,
        every=every,
        ntp=ntp,
    ).run()
