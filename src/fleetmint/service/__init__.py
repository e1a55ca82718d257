"""The signing service and the gateway's own work: enrolment, the CRLs, and what nginx and Mosquitto are given.

Only `app` and `wsgi` import Flask; the rest is functions that the command line uses too.
"""
