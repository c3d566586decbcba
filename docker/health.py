"""The images' health check: exit code 0 where the server of this container answers."""

import os
import ssl
import sys
import urllib.request

PORT = os.environ.get("STREAMFX_SERVER__PORT", "8080")
# The certificate is not made for this name, and nobody stands between: it is this container.
OURSELVES = ssl._create_unverified_context()


def answers(scheme: str) -> bool:
    try:
        url = f"{scheme}://127.0.0.1:{PORT}/healthz"
        with urllib.request.urlopen(url, timeout=2, context=OURSELVES) as answer:
            return answer.status == 200
    except OSError:
        return False


sys.exit(not (answers("http") or answers("https")))
