"""The servers of the bench: nginx as the worker under test, and as the vault that it asks."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

BENCHES = pathlib.Path(__file__).resolve().parent.parent
ROOT = BENCHES.parent

AWS_KEYS = {"id": "AKIDBENCHBENCHBENCH0", "secret": "bench/bench+bench/bench+bench/bench+benc"}

STARTUP_SECONDS = 10


class Subject:
    """The kong-vault that is measured: the folders for lua_package_path and lua_package_cpath."""

    lua = ROOT / "lua"
    lib = ROOT / "build" / "lib"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def binary():
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise SystemExit("bench: no nginx: install nginx-light and libnginx-mod-http-lua (make demo does)")
    return found


def modules():
    """nginx-light's Lua is a dynamic module, OpenResty's is built in."""
    folder = pathlib.Path("/usr/lib/nginx/modules")
    names = ("ndk_http_module.so", "ngx_http_lua_module.so")
    return "\n".join(f"load_module {folder / name};" for name in names if (folder / name).exists())


def certificates(folder):
    """A CA and a certificate for 127.0.0.1 and localhost, by the openssl command."""
    folder.mkdir()
    extensions = folder / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=bench CA")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    openssl(
        "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-extfile", "extensions", "-out", "server.pem",
    )
    return folder / "ca.pem"


class Server:
    """An nginx in a folder of its own, ended by its pid."""

    def __init__(self, kind, folder, ports, environment, **values):
        self.folder, self.ports = folder, ports
        folder.mkdir()
        text = (BENCHES / "nginx" / f"{kind}.conf").read_text()
        user = "user root;" if os.geteuid() == 0 else ""
        values = {"dir": folder, "root": ROOT, "modules": modules(), "user": user, **ports, **values}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        conf = folder / "nginx.conf"
        conf.write_text(text)
        command = [binary(), "-p", str(folder), "-c", str(conf), "-e", str(folder / "error.log")]
        # Nothing of the caller's environment may configure the worker.
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
        self.process = subprocess.Popen(
            command, env=kept | environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            for port in ports.values():
                self.wait_for(port)
        except BaseException:
            self.stop()
            raise

    @property
    def worker(self):
        """The pid of the one worker process."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        deadline = time.monotonic() + STARTUP_SECONDS
        # The master listens before it forks.
        while not (pids := children.read_text().split()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"nginx has no worker:\n{self.log()}")
            time.sleep(0.01)
        return int(pids[0])

    def wait_for(self, port):
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"nginx does not start:\n{self.log()}") from None
                time.sleep(0.01)

    def log(self):
        log = self.folder / "error.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else "(no log)"

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Vault(Server):
    def __init__(self, folder):
        super().__init__("vault", folder, {name: free_port() for name in ("plain", "tls", "tls_cold")}, {})


class Gateway(Server):
    """A worker with kong-vault. `options` go to `configure`, `values` into its nginx.conf."""

    def __init__(self, folder, options, shared, environment, **values):
        keys = {"AWS_ACCESS_KEY_ID": AWS_KEYS["id"], "AWS_SECRET_ACCESS_KEY": AWS_KEYS["secret"]}
        environment = keys | {"BENCH_CONFIGURE": json.dumps(options)} | environment
        dictionary = "lua_shared_dict kong_secrets 5m;" if shared else ""
        values = {"shared": dictionary, "lua": Subject.lua, "lib": Subject.lib, **values}
        super().__init__("gateway", folder, {"port": free_port()}, environment, **values)

    @property
    def port(self):
        return self.ports["port"]

    def run(self, what, **arguments):
        """Calls `benches/lua/bench/<module>.lua`'s function; `what` is `module/function`."""
        url = f"http://127.0.0.1:{self.port}/run/{what}"
        try:
            with urllib.request.urlopen(url, json.dumps(arguments).encode(), 120) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError) as error:
            raise RuntimeError(f"{what}: {error}\n{self.log()}") from None


class House:
    """The vault, the certificates, and gateways on demand, in one scratch folder that goes with it."""

    def __init__(self):
        scratch = ROOT / ".work"
        scratch.mkdir(exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=scratch))
        os.chmod(self.folder, 0o755)
        self.number = 0
        try:
            self.ca = certificates(self.folder / "tls")
            self.vault = Vault(self.folder / "vault")
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def close(self):
        self.vault.stop()
        shutil.rmtree(self.folder)

    @contextlib.contextmanager
    def gateway(self, door="plain", shared=False, environment=None, **options):
        """`door`: the port of the vault that `hcv` asks."""
        secure = door.startswith("tls")
        options = {
            "vault_hcv_host": "127.0.0.1",
            "vault_hcv_port": self.vault.ports[door],
            "vault_hcv_protocol": "https" if secure else "http",
            "vault_hcv_kv": "v2",
            "vault_hcv_token": "bench",
            "vault_aws_region": "us-east-1",
            "vault_aws_endpoint_url": f"http://127.0.0.1:{self.vault.ports['plain']}",
            "vault_cache_size": 100000,
        } | ({"vault_hcv_ca_cert": str(self.ca)} if secure else {}) | options
        self.number += 1
        values = {"ca": self.ca, "upstream": self.vault.ports["plain"]}
        gateway = Gateway(self.folder / f"gateway-{self.number}", options, shared, environment or {}, **values)
        try:
            yield gateway
        finally:
            gateway.stop()
