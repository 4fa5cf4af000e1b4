"""A child that gives one answer: ``python -m tests.process.liar FD PARENT ANSWER``, the answer as JSON."""

from __future__ import annotations

import json
import socket
import struct
import sys


def main() -> None:
    """Ready, then the same answer to each job, with as many zero bytes behind it as it announces."""
    answer = json.loads(sys.argv[3])
    head = json.dumps(answer["header"]).encode()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        ready = json.dumps({"ready": True, "_arrays": []}).encode()
        channel.sendall(struct.pack("<I", len(ready)) + ready)
        while channel.recv(65536):
            channel.sendall(struct.pack("<I", len(head)) + head + bytes(answer["zeros"]))


if __name__ == "__main__":
    main()
