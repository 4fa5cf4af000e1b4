"""The box's name in the clinic's network: a real avahi, told by us, answers a PC on the other end of a cable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.peers import need_root, needed, peer

pytestmark = pytest.mark.alone

_BUS = """<busconfig><type>system</type><listen>unix:path={folder}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/><allow user="*"/></policy></busconfig>
"""
_AVAHI = "[server]\nallow-interfaces=box0\nuse-ipv6=no\nenable-dbus=yes\n[publish]\npublish-workstation=no\n"
# The box's side of the cable; the other end goes to the process that asks.
_SCRIPT = """
set -e
ip link set lo up
ip link add box0 type veth peer name pc0
unshare -n sh -c 'echo $$ > {folder}/pc.pid; read go < {folder}/go; ip link set lo up; ip addr add 10.9.8.8/24 dev pc0
  ip link set pc0 up; ip route add 224.0.0.0/4 dev pc0; exec {python} {folder}/ask.py' &
asking=$!
until test -s {folder}/pc.pid; do sleep 0.05; done
ip link set pc0 netns "$(cat {folder}/pc.pid)"
ip addr add 10.9.8.7/24 dev box0; ip link set box0 up; ip route add 224.0.0.0/4 dev box0
dbus-daemon --config-file={folder}/bus.conf --nofork --nopidfile & bus=$!
trap 'kill $bus $avahi 2>/dev/null || true; wait' EXIT
until test -S {folder}/bus; do sleep 0.05; done
export DBUS_SYSTEM_BUS_ADDRESS=unix:path={folder}/bus
{avahi} -f {folder}/avahi.conf --no-drop-root --no-chroot --no-rlimits & avahi=$!
timeout 20 sh -c 'until busctl call org.freedesktop.Avahi / org.freedesktop.Avahi.Server GetState >/dev/null 2>&1
  do sleep 0.05; done'
{python} -m firmware_app.appliance.network_name
{python} -m firmware_app.appliance.network_name
echo go > {folder}/go
wait $asking
"""
_ASK = """
import socket, struct
name = b"".join(bytes([len(part)]) + part for part in b"lantern-clinic-7.local".split(b".")) + bytes(1)
question = struct.pack("!6H", 0, 0, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.settimeout(1)
for _ in range(20):
    asker.sendto(question, ("224.0.0.251", 5353))
    try:
        answer, (sender, _) = asker.recvfrom(9000)
    except TimeoutError:
        continue
    print("answered", sender, bytes([10, 9, 8, 7]) in answer)
    break
"""


def test_the_box_answers_to_its_own_name(tmp_path: Path) -> None:
    need_root()
    needed("dbus-daemon", "busctl", "ip", "unshare")
    values = {"folder": tmp_path, "python": sys.executable, "avahi": peer("avahi-daemon")}
    (tmp_path / "bus.conf").write_text(_BUS.format(**values))
    (tmp_path / "avahi.conf").write_text(_AVAHI)
    (tmp_path / "ask.py").write_text(_ASK)
    os.mkfifo(tmp_path / "go")
    environment = {**os.environ, "LANTERN_BOX__ID": "clinic-7"}
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", _SCRIPT.format(**values)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("lantern-clinic-7.local") == 2  # told again it says the same
    assert "answered 10.9.8.7 True" in done.stdout, done.stderr[-2000:]
