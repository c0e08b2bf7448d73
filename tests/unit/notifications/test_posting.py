"""Posting to the address that was checked: TLS for the name, no second look-up, no redirect, no waiting for ever."""

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dicom_service.notifications import webhooks
from dicom_service.notifications.addresses import parse_target, resolve
from dicom_service.notifications.errors import DeliveryFailed, UnsafeAddress
from dicom_service.notifications.webhooks import Answer, post_pinned

METADATA = "http://169.254.169.254/latest/meta-data/"


class Handler(BaseHTTPRequestHandler):
    """Answers by path and keeps what it was sent."""

    seen: list[tuple[str, str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.path, self.headers["Host"], body))
        if self.path == "/slow":
            time.sleep(1)
        self.send_response({"/redirect": 302, "/gone": 410, "/busy": 503}.get(self.path, 204))
        self.send_header("Location", METADATA)
        self.send_header("Retry-After", "120")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = folder / "cert.pem", folder / "key.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted))
    return pem, secret


@pytest.fixture
def seen() -> list[tuple[str, str, bytes]]:
    return []


def serve(seen: list[tuple[str, str, bytes]], context: ssl.SSLContext | None) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"seen": seen}))
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.fixture
def plain(seen: list[tuple[str, str, bytes]]) -> Iterator[str]:
    server = serve(seen, None)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def post(url: str, **options: Any) -> Answer:
    return post_pinned(parse_target(url, loopback=True), "127.0.0.1", b"{}", {"webhook-id": "1"}, **options)


def test_answers_are_told_and_redirects_not_followed(plain: str, seen: list[Any]) -> None:
    answers = [post(f"{plain}{path}") for path in ("/ok?a=b", "/redirect", "/gone", "/busy")]
    assert answers == [Answer(204, 0), Answer(302, 0), Answer(410, 0), Answer(503, 120)]
    assert [path for path, _, _ in seen] == ["/ok?a=b", "/redirect", "/gone", "/busy"]


def test_slow_and_rejecting_receivers_fail(plain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_TIMEOUT", urllib3.Timeout(connect=0.2, read=0.2))
    with pytest.raises(DeliveryFailed, match="TIMEOUT"):
        post(f"{plain}/slow")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DeliveryFailed, match="UNREACHABLE"):
            post(f"http://127.0.0.1:{unused.getsockname()[1]}/")


def test_what_is_no_http_fails() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()

        def nonsense() -> None:
            connection, _ = server.accept()
            connection.recv(4096)
            connection.sendall(b"nonsense\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=nonsense)
        thread.start()
        with pytest.raises(DeliveryFailed, match="UNREACHABLE"):
            post(f"http://127.0.0.1:{server.getsockname()[1]}/")
        thread.join()


@pytest.mark.parametrize(("name", "fails"), [("receiver.test", False), ("other.test", True)])
def test_tls_is_for_the_name_although_the_address_is_pinned(
    tmp_path: Path, seen: list[Any], name: str, fails: bool
) -> None:
    # GIVEN a receiver with a certificate for `name`, at an address that no DNS knows
    pem, key = certificate(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server = serve(seen, context)
    url = f"https://receiver.test:{server.server_port}/hook"
    # WHEN receiver.test is called at that address THEN only its own certificate will do
    try:
        if fails:
            with pytest.raises(DeliveryFailed, match="TLS"):
                post(url, ca_certs=str(pem))
            assert seen == []
        else:
            assert post(url, ca_certs=str(pem)) == Answer(204, 0)
            assert seen == [("/hook", f"receiver.test:{server.server_port}", b"{}")]
    finally:
        server.shutdown()
        server.server_close()


def test_a_certificate_of_an_unknown_issuer_is_rejected(tmp_path: Path, seen: list[Any]) -> None:
    pem, key = certificate(tmp_path, "receiver.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    server = serve(seen, context)
    try:
        with pytest.raises(DeliveryFailed, match="TLS"):
            post(f"https://receiver.test:{server.server_port}/")
    finally:
        server.shutdown()
        server.server_close()
    assert seen == []


def test_a_name_that_turns_private_at_the_second_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a name that is public when it is looked up first and the metadata service from then on
    answers = iter(["93.184.216.34"])
    asked: list[str] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        literal = _literal(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (literal or next(answers, "169.254.169.254"), port))]

    connected: list[str] = []

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        raise OSError("not really")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", connect)
    # WHEN it is delivered to
    target = parse_target("https://rebind.test/")
    with pytest.raises(DeliveryFailed):
        post_pinned(target, resolve(target, look_up), b"{}", {})
    # THEN the connection goes to the address that was checked, and the name was looked up once
    assert connected == ["93.184.216.34"]
    assert asked.count("rebind.test") == 1


def test_a_listed_name_that_turns_into_the_metadata_service(monkeypatch: pytest.MonkeyPatch) -> None:
    # GIVEN a listed host that is private when it is looked up first and the metadata service from then on
    answers = iter(["10.1.2.3"])

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        literal = _literal(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (literal or next(answers, "169.254.169.254"), port))]

    connected: list[str] = []

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        raise OSError("not really")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(socket.socket, "connect", connect)
    target = parse_target("http://receiver.internal/", private_hosts={"receiver.internal"})
    # WHEN it is delivered to THEN the connection goes to the address that was checked
    with pytest.raises(DeliveryFailed):
        post_pinned(target, resolve(target, look_up), b"{}", {})
    assert connected == ["10.1.2.3"]
    # AND the next delivery, which sees the other address, connects to nothing
    with pytest.raises(UnsafeAddress):
        resolve(target, look_up)


def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
