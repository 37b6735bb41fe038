"""Ray actors and the adapters they stand on."""

from actors import logs

NAMESPACE = "hoaban"
"""of the named actors in Ray"""

logs.configure()  # every worker process imports this package first
