"""The DICOM port of one box: accept connections, keep silent ones cheap, and give every image to the door.

One thread accepts and watches the silent connections.  A connection gets its own thread only after its first byte, and
one of the limited slots only when it is accepted as an association.  So 500 idle sockets cost 500 file descriptors for
a few seconds, and a half-open TLS handshake costs one thread that nothing waits for.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import sqlite3
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from firmware_app.core.errors import PORT_TAKEN
from firmware_app.core.settings import Config, DicomSection
from firmware_app.dicom.association_log import AssociationLog
from firmware_app.dicom.errors import PORT_UNUSABLE, TLS_UNUSABLE, NotKept, SpaceShort
from firmware_app.dicom.scp.association import Association, SlotCalls
from firmware_app.dicom.scp.association_slots import AssociationSlots, SlotHolder
from firmware_app.dicom.scp.commitment_scp import CommitmentSCP
from firmware_app.dicom.scp.storage_scp import StorageSCP
from firmware_app.dicom.scp.worklist_scp import WaitingEntries, WorklistSCP
from firmware_app.dicom.storage import CommitmentRecords, ImageDoor, empty_incoming

log = logging.getLogger("lantern.gateway")

REQUEST_SECONDS: Final = 5.0  # from connecting to a complete A-ASSOCIATE-RQ; a real modality needs milliseconds
_CROWD: Final = 64  # more silent connections than a clinic has modalities: all of them get less time
_CROWDED_SECONDS: Final = 1.0
_SILENT_MOST: Final = 700
_OPENING_MOST: Final = 64
_BACKLOG: Final = 512
_ACCEPT_AT_ONCE: Final = 64  # a flood of new connections must not delay those that have sent something
_STOP_SECONDS: Final = 8.0
_TURN_S: Final = 1.0
_TURNS_S: Final = 5.0

# Runs in a connection's thread: the socket, the peer's address, the deadline for a complete A-ASSOCIATE-RQ.
ServeConnection = Callable[[socket.socket, str, float], None]


def create_tls_context(config: DicomSection) -> ssl.SSLContext | None:
    """The server's TLS (PS3.15 B.9 and later: TLS 1.2 or newer), or None; raises `TLS_UNUSABLE`."""
    if config.tls_cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key)
        if config.tls_ca is not None:
            context.load_verify_locations(config.tls_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one
        from firmware_app.core import certificates  # a port without TLS does not load it

        raise TLS_UNUSABLE(detail=certificates.explain_tls_error("dicom", config, error)) from None
    from firmware_app.dicom.scp import tls_dates  # a port without TLS does not load it

    return tls_dates.check_client_dates(context, config)


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket; raises `PORT_TAKEN` or `PORT_UNUSABLE`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6()
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PORT_TAKEN(host=host, port=port) from None
        raise PORT_UNUSABLE(host=host, port=port, detail=error.strerror or str(error)) from None
    listener.setblocking(False)
    return listener


class Transport:
    """Accepts connections on *listener* and passes each that sends something to *serve*, until `stop`.

    *on_end* is called when accepting ends, also when the accepting thread died: a gateway that accepts nothing must not
    look alive.
    """

    def __init__(
        self,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        serve: ServeConnection,
        on_end: Callable[[], None],
        on_stranger: Callable[[ssl.SSLCertVerificationError, str], None] = lambda _error, _address: None,
    ) -> None:
        """*on_stranger* is called in the connection's thread when a client certificate was rejected."""
        self._on_stranger = on_stranger
        self._listener = listener
        self._tls = tls
        self._serve = serve
        self._on_end = on_end
        self._silent: OrderedDict[socket.socket, tuple[str, float]] = OrderedDict()
        self._opening: OrderedDict[threading.Thread, socket.socket] = OrderedDict()
        self._closing: OrderedDict[threading.Thread, socket.socket] = OrderedDict()
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._turned = time.monotonic()
        self._wake, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._acceptor = threading.Thread(target=self._run, name="dicom-accept", daemon=True)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def start(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._acceptor.start()

    def is_responsive(self) -> bool:
        """Whether the accepting thread's loop ran lately; it runs every second, also without connections."""
        return time.monotonic() - self._turned < _TURNS_S

    def stop(self) -> None:
        """Stop accepting; open associations end after the image that is being received has been answered."""
        with self._lock:
            self._stopping = True
        with suppress(OSError):  # closed already when the accepting thread died
            self._waker.send(b"x")
        self._acceptor.join()
        with self._lock:
            serving = dict(self._threads)
        for connection in serving.values():
            _stop_reading(connection)
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in serving:
            thread.join(max(0.0, deadline - time.monotonic()))

    def mark_open(self) -> None:
        """Called in a connection's own thread: it is now an association and is not evicted any more."""
        with self._lock:
            self._opening.pop(threading.current_thread(), None)

    def mark_closing(self) -> None:
        """Called in a connection's own thread: the association is over, only its last PDU may still be read."""
        thread = threading.current_thread()
        with self._lock:
            if thread in self._threads:
                self._closing[thread] = self._threads[thread]

    # --- the accepting thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._poll()
            self._drop_silent(float("inf"))
        finally:
            self._selector.close()
            for own in (self._listener, self._wake, self._waker):
                own.close()
            self._on_end()

    def _poll(self) -> None:
        self._turned = time.monotonic()
        for key, _ in self._selector.select(self._next_timeout()):
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._silent:
                self._hand_over(key.fileobj)
        self._drop_silent(time.monotonic())

    def _next_timeout(self) -> float:
        if not self._silent:
            return _TURN_S
        return min(_TURN_S, max(0.0, next(iter(self._silent.values()))[1] - time.monotonic()))

    def _accept(self) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                connection, address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of descriptors: the oldest silent connection is dropped.  Other errors concern this peer only.
                if error.errno not in (errno.EMFILE, errno.ENFILE) or not self._drop_oldest():
                    return
                continue
            if len(self._silent) >= _SILENT_MOST:
                self._drop_oldest()
            connection.setblocking(False)
            is_crowd = len(self._silent) >= _CROWD
            patience = _CROWDED_SECONDS if is_crowd else REQUEST_SECONDS
            self._silent[connection] = (str(address[0]), time.monotonic() + patience)
            self._selector.register(connection, selectors.EVENT_READ)
            if is_crowd:
                self._shorten_deadlines(time.monotonic() + _CROWDED_SECONDS)

    def _shorten_deadlines(self, deadline: float) -> None:
        """Apply the shorter *deadline* to the connections that were silent before it was crowded, too."""
        for connection in reversed(self._silent):
            address, before = self._silent[connection]
            if before > deadline:
                self._silent[connection] = (address, deadline)
            elif len(self._silent) > _CROWD + 1:
                return  # it has been crowded for a while: all older ones have the shorter deadline already

    def _hand_over(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        address, deadline = self._silent.pop(connection)
        thread = threading.Thread(
            target=self._serve_connection, args=(connection, address, deadline), name="dicom-association", daemon=True
        )
        with self._lock:
            self._threads[thread] = self._opening[thread] = connection
            if len(self._opening) + len(self._closing) > _OPENING_MOST:
                unwanted = self._closing or self._opening
                _stop_reading(unwanted.popitem(last=False)[1])
        thread.start()

    def _drop_silent(self, now: float) -> None:
        while self._silent and next(iter(self._silent.values()))[1] <= now:
            self._drop_oldest()

    def _drop_oldest(self) -> bool:
        if not self._silent:
            return False
        connection, _ = self._silent.popitem(last=False)
        self._selector.unregister(connection)
        connection.close()
        return True

    # --- a connection's own thread ---------------------------------------------------------------------------------

    def _serve_connection(self, connection: socket.socket, address: str, deadline: float) -> None:
        thread = threading.current_thread()
        speaking = connection
        is_open = False
        try:
            # Without it, Nagle and delayed acknowledgement cost 40 ms for each image.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                speaking = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                with self._lock:
                    self._threads[thread] = speaking
                    if thread in self._opening:
                        self._opening[thread] = speaking
                speaking.settimeout(max(0.01, deadline - time.monotonic()))
                assert isinstance(speaking, ssl.SSLSocket)
                speaking.do_handshake()
            is_open = True
            self._serve(speaking, address, deadline)
        except OSError as error:
            if is_open:  # `serve` handles a peer that goes away, so this is the box's own fault
                log.error("association broken off: %s", error.strerror or type(error).__name__)
            else:
                log.info("connection ended before an association: %s", type(error).__name__)
                if isinstance(error, ssl.SSLCertVerificationError):
                    self._on_stranger(error, address)
        finally:
            with self._lock:
                for threads in (self._opening, self._closing, self._threads):
                    threads.pop(thread, None)
            speaking.close()


def _stop_reading(connection: socket.socket) -> None:
    """End the input from the peer below any TLS layer, so that an answer can still be sent."""
    with suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RD)


# pynetdicom and pydicom log what they decode: UIDs, titles, sometimes names.  None of that belongs in our log.
for _loud in ("pynetdicom", "pydicom"):
    logging.getLogger(_loud).setLevel(logging.CRITICAL + 1)


class AssociationServer:
    """Listens as `[dicom]` says and gives every image to *door*.

    *commitments* records storage commitment; *waiting* lists the registered patients for the worklist.
    """

    def __init__(
        self, config: Config, door: ImageDoor, commitments: CommitmentRecords, waiting: WaitingEntries
    ) -> None:
        self._config = config.dicom
        self._door = door
        self._places = AssociationSlots(config.dicom.max_associations)
        self._transport: Transport | None = None
        self._turned_away = AssociationLog(door.state)
        self._commitments = CommitmentSCP(config, door.state, commitments)
        self._worklist = WorklistSCP(config.worklist, config.box.language, waiting)

    def start(self, on_end: Callable[[], None] = lambda: None) -> int:
        """Start to listen; returns the port.  *on_end* is called when the port is closed, by `stop` or by a fault.

        Raises `PORT_TAKEN`, `PORT_UNUSABLE` or `TLS_UNUSABLE`."""
        tls = create_tls_context(self._config)
        listener = open_listener(self._config.host, self._config.port)
        # Holding the port, this is the only gateway of the state: first tidy up after one that was killed.
        empty_incoming(self._door.state.incoming)
        self._door.clinical.close_all_associations()
        self._commitments.forget()
        self._transport = Transport(listener, tls, self._serve, on_end, self._record_expired_certificate)
        self._transport.start()
        threading.Thread(target=self._make_folders, name="folders", daemon=True).start()
        return self._transport.port

    def is_listening(self) -> bool:
        """Whether the thread that accepts associations is alive."""
        return self._transport is not None and self._transport.is_responsive()

    def stop(self) -> None:
        """Accept no more; what was acknowledged is kept."""
        if self._transport is not None:
            self._transport.stop()
            self._transport = None
        self._turned_away.close()

    def _make_folders(self) -> None:
        """Runs while the port is open: an image that arrives sooner makes its own folder durable."""
        with suppress(SpaceShort, NotKept):  # on a full disk each sender is refused with that reason
            self._door.make_folders()

    def _serve(self, connection: socket.socket, address: str, deadline: float) -> None:
        Association(
            connection=connection,
            address=address,
            config=self._config,
            places=SlotCalls(take=self._take_slot, give=self._release_slot),
            turned_away=self._turned_away,
            storage=StorageSCP(self._door),
            worklist=self._worklist,
            commitments=self._commitments,
            request_deadline=deadline,
        ).serve()

    def _record_expired_certificate(self, error: ssl.SSLCertVerificationError, address: str) -> None:
        """Journal a peer whose certificate is out of date: TLS tells the peer only "no", so the box must say why."""
        from firmware_app.dicom.scp import tls_dates  # a port without TLS does not load it

        refusal = tls_dates.explain_refusal(error, address)
        if refusal is not None:
            log.warning("%s", refusal)
            try:
                self._door.clinical.record_refusal(f"dicom:{address}", refusal)
            except sqlite3.Error as failure:
                log.warning("the refusal cannot be journalled: %s", failure)
            finally:
                self._door.clinical.database.close_thread()

    def _take_slot(self, association: SlotHolder) -> bool:
        if not self._places.take(association):
            return False
        if self._transport is not None:
            self._transport.mark_open()
        return True

    def _release_slot(self, association: SlotHolder) -> None:
        self._places.release(association)
        if self._transport is not None:
            self._transport.mark_closing()
