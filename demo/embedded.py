"""amqtt as a process: a broker for a machine without mosquitto.  Arguments: the port, the folder with certificates."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

from amqtt.broker import Broker


async def main(port: int, tls: Path) -> None:
    """Serve MQTT 3.1.1 over TLS on 127.0.0.1 until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    listener = {
        "type": "tcp",
        "bind": f"127.0.0.1:{port}",
        "ssl": True,
        "cafile": str(tls / "ca.crt"),
        "certfile": str(tls / "broker.crt"),
        "keyfile": str(tls / "broker.key"),
    }
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    await stop.wait()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(broker.shutdown(), 3)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
