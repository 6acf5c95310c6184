"""Single requests to this machine, each by a connection of its own, as `httpx2.get` sends them.

That reads the certificates of all authorities anew for each request, which takes 25 ms of a
processor: longer than the request, and a test that waits for something sends many.
"""

import ssl
from functools import partial

import httpx2

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which trusts nobody: nothing here has TLS

request = partial(httpx2.request, verify=CONTEXT)
get = partial(httpx2.get, verify=CONTEXT)
post = partial(httpx2.post, verify=CONTEXT)
put = partial(httpx2.put, verify=CONTEXT)
delete = partial(httpx2.delete, verify=CONTEXT)
stream = partial(httpx2.stream, verify=CONTEXT)
