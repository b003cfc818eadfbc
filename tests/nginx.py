"""Debian's nginx with the configuration in deploy/, of which only ports and paths are replaced."""

import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import trustme

from tests.stack import CHECKOUT
from twit.local import process
from twit.local.net import LOOPBACK, free_port

# Debian has it where only root's PATH leads.
NGINX = shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin")


class Proxy:
    """A running nginx. It serves HTTP and HTTPS for the server at `port`."""

    def __init__(self, folder: Path, port: int, *, has_tls: bool) -> None:
        self.folder = folder
        plain, encrypted = free_port(), free_port()
        self.http = f"http://localhost:{plain}"
        self.https = f"https://localhost:{encrypted}"
        authority = trustme.CA()
        self.tls = ssl.create_default_context()
        authority.configure_trust(self.tls)
        certificates = folder / "certificates"
        certificates.mkdir()
        identity = authority.issue_cert("localhost")
        for pem in identity.cert_chain_pems:
            pem.write_to_path(certificates / "fullchain.pem", append=True)
        identity.private_key_pem.write_to_path(certificates / "privkey.pem")
        paths = " ".join(
            f"{name}_temp_path {folder}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        replaced = {
            "/etc/nginx/twit": str(folder),
            "/var/log/nginx": str(folder),
            "listen 80;": f"listen {LOOPBACK}:{plain};",
            "[::]:80": f"[::1]:{plain}",
            "listen 443": f"listen {LOOPBACK}:{encrypted}",
            "[::]:443": f"[::1]:{encrypted}",
            "127.0.0.1:8000": f"{LOOPBACK}:{port}",
            "http {": f"http {{ {paths}",
        }
        for name in ("twit.conf", "upstream.conf", *(["tls.conf"] if has_tls else [])):
            text = (CHECKOUT / "deploy/nginx" / name).read_text()
            for former, new in replaced.items():
                text = text.replace(former, new)
            (folder / name).write_text(text)

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        options = f"daemon off; pid {self.folder}/nginx.pid;"
        command = [NGINX or "", "-e", "stderr", "-c", str(self.folder / "twit.conf"), "-g", options]
        child = process.Child("nginx", command, log=self.folder / "nginx.log", cwd=CHECKOUT)
        try:
            answers = partial(httpx.get, self.http, trust_env=False)
            child.wait_for(answers, httpx.TransportError)
            yield self
        finally:
            child.stop()

    def client(self, address: str = LOOPBACK) -> httpx.Client:
        """Return a client over TLS that connects from that address of the loopback."""
        transport = httpx.HTTPTransport(verify=self.tls, local_address=address)
        return httpx.Client(base_url=self.https, transport=transport, timeout=30)


@contextmanager
def proxy(port: int, *, has_tls: bool = True) -> Iterator[Proxy]:
    """Run nginx in front of the server at that port."""
    with tempfile.TemporaryDirectory(prefix="twit-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # started by root, it works under another account
        with Proxy(folder, port, has_tls=has_tls).running() as started:
            yield started
