# SPDX-License-Identifier: GPL-2.0-only
"""The Ethernet switch between the guests of dsm-cluster."""

import os
import selectors
import signal
import socket

from cluster_base import die_with_parent



class Switch:
    """An Ethernet switch between the guests, in a process of its own.

    Ports are stream sockets from QEMU, each frame after its length (4 bytes).
    They arrive over a control socket, whose end is the end of this process.
    """

    QUEUE_BYTES = 8 << 20

    class Port:
        def __init__(self, sock):
            self.sock = sock
            self.input = bytearray()
            self.output = bytearray()

    def __init__(self):
        self.control, child = socket.socketpair()
        self.pid = os.fork()
        if self.pid:
            child.close()
            return
        try:
            die_with_parent()
            # Ctrl-C is the parent's to handle.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.control.close()
            self.control = child
            self.forward()
        finally:
            os._exit(0)

    def new_port(self):
        """In the parent: a socket for a guest's network device."""
        ours, guests = socket.socketpair()
        socket.send_fds(self.control, [b"p"], [ours.fileno()])
        ours.close()
        return guests

    def close(self):
        self.control.close()
        os.waitpid(self.pid, 0)

    def forward(self):
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.control, selectors.EVENT_READ)
        self.ports = set()
        self.owner = {}
        while True:
            for key, events in self.selector.select():
                if key.data is None:
                    data, fds, _, _ = socket.recv_fds(self.control, 1, 1)
                    if not data:
                        return
                    self.add(socket.socket(fileno=fds[0]))
                    continue
                try:
                    if events & selectors.EVENT_WRITE:
                        self.flush(key.data)
                    if events & selectors.EVENT_READ:
                        self.receive(key.data)
                except OSError:
                    self.remove(key.data)

    def add(self, sock):
        sock.setblocking(False)
        port = self.Port(sock)
        self.ports.add(port)
        self.selector.register(sock, selectors.EVENT_READ, port)

    def remove(self, port):
        if port in self.ports:
            self.ports.discard(port)
            self.selector.unregister(port.sock)
            port.sock.close()

    def receive(self, port):
        data = port.sock.recv(1 << 18)
        if not data:
            self.remove(port)
            return
        buffer = port.input
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            end = start + 4 + int.from_bytes(buffer[start:start + 4], "big")
            if end > len(buffer):
                break
            self.deliver(port, buffer[start:end])
            start = end
        del buffer[:start]

    def deliver(self, source, frame):
        """FRAME with its length; the addresses follow that."""
        self.owner[bytes(frame[10:16])] = source
        target = self.owner.get(bytes(frame[4:10]))
        for port in [target] if target in self.ports else self.ports - {source}:
            self.send(port, frame)

    def send(self, port, frame):
        if len(port.output) > self.QUEUE_BYTES:
            return
        waiting = bool(port.output)
        port.output += frame
        if not waiting:
            try:
                self.flush(port)
            except OSError:
                self.remove(port)

    def flush(self, port):
        try:
            sent = port.sock.send(port.output)
            del port.output[:sent]
        except BlockingIOError:
            pass
        wanted = selectors.EVENT_READ
        if port.output:
            wanted |= selectors.EVENT_WRITE
        if self.selector.get_key(port.sock).events != wanted:
            self.selector.modify(port.sock, wanted, port)
