"""What packaging/ describes, run: the compose file, the manifests, and Helm's values as Kong's chart renders them.

scenarios.py command|openresty|compose|secret|vault|FILE KIND=IMAGE…

KIND is kong, openresty, bao or files. FILE is a manifest, such as the chart kong/kong renders of packaging/helm. It takes root and
namespaces of its own, with a network.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

from compose import Project
from container import Container, Image
from pod import Pod, service_account_token

PACKAGING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../packaging")


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


def wait_for(url, words, container, seconds=60):
    """Until the answer has the words. Returns it."""
    answers = []

    def shows():
        answers.append(get(url))
        return words in answers[-1][1]

    try:
        container.wait_until(shows, seconds)
    except RuntimeError as error:
        raise RuntimeError(f"{url} answers {answers[-1]}: {error}") from error
    return answers[-1][1]


def load(path):
    with open(path, encoding="utf-8") as text:
        return [it for it in yaml.safe_load_all(text) if it]


def doctor(kong, reference):
    """The way to the vault is whole, as the command sees it in the container. By Helm, its files are below /opt/kong-vault."""
    told = kong.execute(["sh", "-c", f"PATH=$PATH:/opt/kong-vault/bin kong-vault doctor {reference}"])
    assert told.returncode == 0, told.stdout


def try_compose(images, _, scratch):
    path = f"{PACKAGING}/compose/compose.yaml"
    (document,) = load(path)
    project = Project(path, document, images, scratch)
    try:
        project.up()
        kong, bao = project.containers["kong"], project.containers["openbao"]
        print(get("http://127.0.0.1:8000/")[1], end="")
        doctor(kong, "hcv/demo/api-key")
        wait_for("http://127.0.0.1:8000/", "this request has x-api-key: s3cret", kong)
        wait_for("http://127.0.0.1:8000/", "the last log entry had x-api-key: s3cret", kong)
        bao.env["BAO_TOKEN"] = project.services["openbao"]["environment"]["BAO_DEV_ROOT_TOKEN_ID"]
        rotated = bao.execute(["bao", "kv", "put", "-mount=secret", "demo", "api-key=rotated"])
        assert rotated.returncode == 0, rotated.stdout
        wait_for("http://127.0.0.1:8000/", "this request has x-api-key: rotated", kong)
        print(wait_for("http://127.0.0.1:8000/", "the last log entry had x-api-key: rotated", kong), end="")
    finally:
        project.down()


class TokenReviews(BaseHTTPRequestHandler):
    """Kubernetes' API server, as far as the vault asks it: vouches for the tokens that it is told of."""

    known = {}

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        account = self.known.get(asked["spec"]["token"])
        status = {"authenticated": False}
        if account:
            user = {"username": f"system:serviceaccount:{account}", "uid": "1"}
            status = {"authenticated": True, "user": user, "audiences": asked["spec"].get("audiences", [])}
        answer = json.dumps({**asked, "status": status}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def certificates(scratch):
    commands = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=vault -keyout vault.key -out vault.csr",
        "openssl x509 -req -days 2 -in vault.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile vault.ext -out vault.pem",
    )
    with open(f"{scratch}/vault.ext", "w", encoding="ascii") as text:
        text.write("subjectAltName=DNS:vault.internal\n")
    for command in commands:
        subprocess.run(command.split(), cwd=scratch, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    os.chmod(f"{scratch}/vault.key", 0o644)


def readme_commands():
    """The commands for the vault's side, as the README of the manifests has them."""
    with open(f"{PACKAGING}/kubernetes/README.md", encoding="utf-8") as text:
        return re.search(r"```sh vault\n(.*?)```", text.read(), re.S)[1]


class Vault:
    """An OpenBao at https://vault.internal:8200, with the settings that the README asks for."""

    def __init__(self, image, scratch):
        certificates(scratch)
        with open(f"{scratch}/bao.hcl", "w", encoding="ascii") as text:
            text.write(
                'listener "tcp" {\n  address = "127.0.0.1:8200"\n'
                '  tls_cert_file = "/tls/vault.pem"\n  tls_key_file = "/tls/vault.key"\n}\n'
            )
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), TokenReviews)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        # As in a pod of the cluster.
        os.mkdir(f"{scratch}/account")
        shutil.copy(f"{scratch}/ca.pem", f"{scratch}/account/ca.crt")
        with open(f"{scratch}/account/token", "w", encoding="ascii") as text:
            text.write(service_account_token("vault", "vault", "kubernetes", 3600))
        self.container = Container(
            image,
            ["bao", "server", "-dev", "-dev-no-store-token", "-dev-listen-address=127.0.0.1:8199", "-config=/tls/bao.hcl"],
            env={"BAO_DEV_ROOT_TOKEN_ID": "root", "BAO_TOKEN": "root", "BAO_ADDR": "http://127.0.0.1:8199"},
            volumes=[(scratch, "/tls"), (f"{scratch}/account", "/var/run/secrets/kubernetes.io/serviceaccount")],
        ).start(f"{scratch}/bao.log")
        self.container.wait_until(lambda: "No value" in self.ask("bao kv get -mount=secret none").stdout)
        done = self.ask(readme_commands().replace("https://kubernetes.default.svc", f"http://127.0.0.1:{self.server.server_port}"))
        assert done.returncode == 0, done.stdout

    def ask(self, command):
        return self.container.execute(["/bin/sh", "-euc", command])

    def stop(self):
        self.container.stop()
        self.server.shutdown()


def try_pod(images, path, scratch):
    objects = load(path)
    vault = None
    os.mkdir(f"{scratch}/tls")
    os.mkdir(f"{scratch}/pod")
    try:
        uses_vault = "vault.internal" in json.dumps(objects)
        extra = {}
        if uses_vault:
            vault = Vault(images["bao"], f"{scratch}/tls")
            with open(f"{scratch}/tls/ca.pem", encoding="ascii") as text:
                extra["vault-ca"] = {"ca.crt": text.read()}
        pod = Pod(objects, images, f"{scratch}/pod", extra, "vault.internal")
        if uses_vault:
            with open(f"{pod.folders['vault-token']}/token", encoding="ascii") as text:
                TokenReviews.known[text.read()] = f"{pod.namespace}:{pod.spec['serviceAccountName']}"
        kong = pod.start()
        try:
            wait_for("http://127.0.0.1:8100/status", "server", kong)
            print(wait_for("http://127.0.0.1:8000/", "the key has 6 characters", kong), end="")
            name = "hcv" if uses_vault else "fs"
            told = kong.execute(["kong", "vault", "get", f"{name}/demo/api-key"])
            assert told.stdout.strip().endswith("s3cret"), told.stdout
            doctor(kong, f"{name}/demo/api-key")
        finally:
            pod.stop()
    finally:
        if vault:
            vault.stop()


def try_command(images, _, scratch):
    """The command finds all that it needs, as the image's user and on a read-only root."""
    container = Container(images["kong"], ["kong-vault", "get", "{vault://env/api-token}"], env={"API_TOKEN": "s3cret"})
    status = container.run(f"{scratch}/command.log")
    assert status == 0 and container.output() == "s3cret\n", (status, container.output())
    assert container.uid != 0, "the image's user is root"
    compilers = Container(images["kong"], ["sh", "-c", "command -v cc gcc clang make rustc"]).start(f"{scratch}/compilers.log")
    assert compilers.process.wait(30) != 0, compilers.output()


SERVER = """server {
  listen 8081;
  location / {
    content_by_lua_block {
      local token, err = require("kong.vault").get "{vault://env/api-token}"
      ngx.say(token and "the token has " .. #token .. " characters" or err)
    }
  }
}
"""


def try_openresty(images, _, scratch):
    """The image serves as it is, and with a reader's servers."""
    with open(f"{scratch}/server.conf", "w", encoding="ascii") as text:
        text.write(SERVER)
    container = Container(
        images["openresty"],
        env={"API_TOKEN": "s3cret"},
        tmpfs=["/tmp"],
        volumes=[(f"{scratch}/server.conf", "/etc/nginx/conf.d/server.conf")],
    ).start(f"{scratch}/openresty.log")
    try:
        assert container.uid == 65534
        container.wait_until(lambda: get("http://127.0.0.1:8080/healthz")[0] == 204)
        print(wait_for("http://127.0.0.1:8081/", "the token has 6 characters", container), end="")
    finally:
        container.stop()


class Images(dict):
    """The images, by what they are. Files that are tried name them in their own ways."""

    def __missing__(self, name):
        if "openbao/" in name:
            return self["bao"]
        return self["files" if "/files:" in name else "kong"]


def main():
    scenario, *pairs = sys.argv[1:]
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    scratch = tempfile.mkdtemp()
    os.chmod(scratch, 0o755)
    images = Images()
    began = time.monotonic()
    scenarios = {"compose": try_compose, "command": try_command, "openresty": try_openresty}
    try:
        for pair in pairs:
            kind, name = pair.split("=")
            images[kind] = Image(name)
        path = scenario if "/" in scenario else f"{PACKAGING}/kubernetes/{scenario}.yaml"
        scenarios.get(scenario, try_pod)(images, path, scratch)
        print(f"ok: {scenario}, {time.monotonic() - began:.0f} s")
    finally:
        for image in images.values():
            image.remove()
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
