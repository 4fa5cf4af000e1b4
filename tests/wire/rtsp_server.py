"""An RTSP server as a network camera has one, on a free port of 127.0.0.1, which it prints.

``/usr/bin/python3 rtsp_server.py CLIP``, with Debian's GStreamer (the system's Python has its bindings).  The clip
plays at its own rate for whoever asks, and then ends.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - the versions come first

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service("0")
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( filesrc location={sys.argv[1]} ! qtdemux ! h264parse ! rtph264pay name=pay0 config-interval=-1 )"
)
server.get_mount_points().add_factory("/us", factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
