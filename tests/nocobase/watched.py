"""A forwarder in front of a node that writes down every request which reaches the node.

It stands between the gateway and the node and passes bytes on as they are. While the node refuses
connections it refuses them too, so that the gateway sees the node as it is.
"""

import socket
import struct
import threading
import time

PROBE = b"drawspan-probe"
LOOK_EVERY = 0.2
RESET = struct.pack("ii", 1, 0)


class Request:
    """One request head as it passed."""

    def __init__(self, head):
        self.at = time.monotonic()
        self.line = head.split(b"\r\n", 1)[0].decode("latin-1")
        self.is_probe = PROBE in head

    def __str__(self):
        return self.line


class Reader:
    """Finds the heads in what a client sends: RFC 9112, for a client that frames well."""

    def __init__(self, seen):
        self.seen = seen
        self.buffer = b""
        self.step = self.head

    def feed(self, data):
        self.buffer += data
        while self.buffer and self.step():
            pass

    def head(self):
        head, mark, rest = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return False
        self.buffer = rest
        self.seen(Request(head))
        fields = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
        fields = {name.strip(): value.strip() for name, _, value in fields}
        if b"upgrade" in fields:
            self.step = self.foreign
        elif fields.get(b"transfer-encoding") == b"chunked":
            self.step = self.chunk_size
        else:
            self.skip(int(fields.get(b"content-length", 0)), self.head)
        return True

    def skip(self, count, then):
        def body():
            taken = min(len(self.buffer), self.left)
            self.left -= taken
            self.buffer = self.buffer[taken:]
            if self.left:
                return False
            self.step = then
            return True

        self.left = count
        self.step = body if count else then

    def chunk_size(self):
        size, mark, rest = self.buffer.partition(b"\r\n")
        if not mark:
            return False
        self.buffer = rest
        length = int(size.split(b";")[0], 16)
        if length:
            self.skip(length + 2, self.chunk_size)
        else:
            self.step = self.trailers
        return True

    def trailers(self):
        line, mark, rest = self.buffer.partition(b"\r\n")
        if not mark:
            return False
        self.buffer = rest
        self.step = self.trailers if line else self.head
        return True

    def foreign(self):
        """Behind an upgrade there are no requests any more."""
        self.buffer = b""
        return False


class Watched:
    """The forwarder of one node."""

    def __init__(self, node_port, port=0):
        self.node = ("127.0.0.1", node_port)
        self.requests = []
        self.stopped = threading.Event()
        self.node_refuses = threading.Event()
        self.listener = self.listen(port)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def public(self, since=0.0):
        """What reached the node since then, probes left out."""
        return [seen for seen in list(self.requests) if since < seen.at and not seen.is_probe]

    def stop(self):
        self.stopped.set()

    def listen(self, port):
        listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        listener.settimeout(LOOK_EVERY)
        return listener

    def run(self):
        while not self.stopped.is_set():
            if self.node_accepts():
                self.node_refuses.clear()
                self.listener = self.listener or self.listen(self.port)
                self.accept()
            else:
                self.refuse()
                time.sleep(LOOK_EVERY)
        self.refuse()

    def refuse(self):
        if self.listener:
            self.listener.close()
            self.listener = None

    def node_accepts(self):
        try:
            socket.create_connection(self.node, timeout=2).close()
            return True
        except OSError:
            return False

    def accept(self):
        while not self.stopped.is_set() and not self.node_refuses.is_set():
            try:
                client, _ = self.listener.accept()
                client.settimeout(None)
                threading.Thread(target=self.carry, args=(client,), daemon=True).start()
            except TimeoutError:
                if not self.node_accepts():
                    return

    def carry(self, client):
        try:
            node = socket.create_connection(self.node, timeout=5)
        except OSError:
            self.node_refuses.set()
            cut(client)
            return
        node.settimeout(None)
        for side in (client, node):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=pump, args=(node, client), daemon=True)
        back.start()
        pump(client, node, Reader(self.requests.append).feed)
        back.join()
        client.close()
        node.close()


def pump(source, sink, look=None):
    """Bytes from one side to the other; an end is passed on as an end, a reset as a reset."""
    try:
        while data := source.recv(65536):
            if look:
                look(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        cut(sink)
        cut(source)


def cut(side):
    """RST. The shutdown wakes whoever still reads it."""
    try:
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        side.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    side.close()
