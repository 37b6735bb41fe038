"""Ray actors and the adapters they stand on."""

from actors import logs

logs.configure()  # every worker process imports this package first
