"""`python -m api.healthcheck`: exit code 0 when the service on this machine is ready, else 1.

For images, which hold no curl. It imports nothing but the standard library: it runs every few
seconds, beside the service.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_SECONDS = 3


def ready(port: int) -> bool:
    """Ask the service on a local port whether it is ready."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if ready(int(os.environ.get("PORT", "8000"))) else 1)
