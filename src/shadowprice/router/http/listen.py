"""Sockets to listen on, and the certificate to show there."""

import socket
import ssl

from shadowprice.errors import RouterError
from shadowprice.router.settings import Settings


def bound(host_flag: str, host: str, port_flag: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to this address; shared: with other processes. Raises RouterError, naming the flags."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        reason = error.strerror or error
        raise RouterError(f"{host_flag} {host} {port_flag} {port}: {reason}; expected a free address") from error
    sock.setblocking(False)
    return sock


def tls(settings: Settings) -> ssl.SSLContext:
    """What clients are served with, from the settings' certificate. Raises RouterError."""
    assert settings.ssl_certfile is not None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile)
    except (OSError, ssl.SSLError) as error:
        key = "" if settings.ssl_keyfile is None else f" --ssl-keyfile {settings.ssl_keyfile}"
        files = f"--ssl-certfile {settings.ssl_certfile}{key}"
        raise RouterError(f"{files}: {error}; expected a certificate and its key, PEM") from error
    return context
