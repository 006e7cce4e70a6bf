"""Requests and messages over connections that are open already, and over new ones."""

from __future__ import annotations

import http.client
import smtplib
import socket
import socketserver
import threading
import urllib.request
from contextlib import suppress
from email.message import EmailMessage

import httpx
import requests

from tests.effects.world import Effect, World, kind


@kind
def http_client_that_is_connected(world: World) -> Effect:
    connection = http.client.HTTPConnection("127.0.0.1", world.web.port)
    world.at_end(connection.close)
    connection.connect()

    def act() -> None:
        connection.request("POST", "/orders", b"one")
        connection.getresponse().read()

    return act, world.web.count


@kind
def http_client_that_connects(world: World) -> Effect:
    def act() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", world.web.port)
        connection.request("POST", "/orders", b"one")
        connection.getresponse().read()
        connection.close()

    return act, world.web.count


@kind
def httpx_client_that_is_connected(world: World) -> Effect:
    client = world.enter(httpx.Client(base_url=world.web.url))
    client.get("/")
    return lambda: client.post("/orders", content=b"one"), world.web.count


@kind
def httpx_post(world: World) -> Effect:
    return lambda: httpx.post(f"{world.web.url}/orders", content=b"one"), world.web.count


@kind
def requests_session_that_is_connected(world: World) -> Effect:
    session = world.enter(requests.Session())
    session.get(world.web.url)
    return lambda: session.post(f"{world.web.url}/orders", data=b"one"), world.web.count


@kind
def urllib_request(world: World) -> Effect:
    return lambda: urllib.request.urlopen(f"{world.web.url}/orders", b"one").read(), world.web.count


@kind
def openai_client_that_is_connected(world: World) -> Effect:
    import openai

    client = world.enter(openai.OpenAI(base_url=world.web.url, api_key="none", max_retries=0))
    with suppress(openai.APIError):
        client.models.list()
    messages: list = [{"role": "user", "content": "one"}]
    return lambda: client.chat.completions.create(model="paid", messages=messages), world.web.count


@kind
def litellm_completion(world: World) -> Effect:
    import litellm

    def act() -> None:
        messages = [{"role": "user", "content": "one"}]
        litellm.completion("openai/paid", messages, api_base=world.web.url, api_key="none")

    return act, world.web.count


class _Mail(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() not in (b".\r\n", b""):
                    pass
                self.server.mails.append(1)  # pyright: ignore[reportAttributeAccessIssue]
            self.wfile.write(b"250 ok\r\n")


def _mail(world: World) -> tuple[int, list[int]]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mail)
    server.daemon_threads = True
    server.mails = []  # pyright: ignore[reportAttributeAccessIssue]
    world.at_end(server.server_close)
    world.at_end(server.shutdown)
    world.worker(lambda: server.serve_forever(0.02))
    return server.server_address[1], server.mails  # pyright: ignore[reportAttributeAccessIssue]


def _message() -> EmailMessage:
    message = EmailMessage()
    message["From"] = message["To"] = "one@example.org"
    message.set_content("one")
    return message


@kind
def smtp_that_is_connected(world: World) -> Effect:
    port, mails = _mail(world)
    client = smtplib.SMTP("127.0.0.1", port, timeout=60)
    world.at_end(client.close)
    client.helo("here")
    return lambda: client.send_message(_message()), lambda: len(mails)


@kind
def smtp_that_connects(world: World) -> Effect:
    port, mails = _mail(world)

    def act() -> None:
        client = smtplib.SMTP("127.0.0.1", port, timeout=60)
        client.send_message(_message())
        client.close()

    return act, lambda: len(mails)


def _pair(world: World) -> tuple[socket.socket, socket.socket]:
    one, other = socket.socketpair()
    world.at_end(one.close)
    world.at_end(other.close)
    return one, other


def _listening(world: World) -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    world.at_end(server.close)
    return server


def _arrived(reader: socket.socket) -> int:
    reader.setblocking(False)
    with suppress(BlockingIOError):
        return len(reader.recv(9999))
    return 0


@kind
def socket_pair(world: World) -> Effect:
    one, other = _pair(world)
    return lambda: one.send(b"x"), lambda: _arrived(other)


@kind
def tcp_socket_that_is_connected(world: World) -> Effect:
    server = _listening(world)
    one = socket.create_connection(server.getsockname())
    other = server.accept()[0]
    world.at_end(one.close)
    world.at_end(other.close)
    return lambda: one.sendall(b"x"), lambda: _arrived(other)


@kind
def tcp_socket_that_connects(world: World) -> Effect:
    server = _listening(world)
    server.setblocking(False)

    def accepted() -> int:
        count = 0
        with suppress(BlockingIOError):
            while True:
                server.accept()[0].close()
                count += 1
        return count

    return lambda: socket.create_connection(server.getsockname()).close(), accepted


@kind
def udp_socket_without_a_connection(world: World) -> Effect:
    one, other = (world.enter(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2))
    other.bind(("127.0.0.1", 0))
    other.setblocking(False)

    def count() -> int:
        found = 0
        with suppress(BlockingIOError):
            while other.recv(9):
                found += 1
        return found

    return lambda: one.sendto(b"x", other.getsockname()), count


@kind
def socket_as_a_file(world: World) -> Effect:
    one, other = _pair(world)
    stream = world.enter(one.makefile("w"))

    def act() -> None:
        stream.write("x")
        stream.flush()

    return act, lambda: _arrived(other)


@kind
def a_message_taken_from_a_socket(world: World) -> Effect:
    one, other = _pair(world)
    one.sendall(b"x" * 500)
    return lambda: other.recv(1), lambda: 500 - _arrived(other)


@kind
def a_request_by_a_thread_of_the_program(world: World) -> Effect:
    def act() -> None:
        thread = threading.Thread(target=httpx.post, args=(f"{world.web.url}/orders",))
        thread.start()
        thread.join()

    return act, world.web.count
