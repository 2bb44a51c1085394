"""Runs an image's file system as a container engine would: its own mounts, a read-only root, no privileges.

Started as a program, it is what `Container.start` runs inside of namespaces of its own. The network is the caller's.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 38, 24


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


class Image:
    """An image in buildah's storage, unpacked. Containers of it share its folder, which is read-only to them."""

    def __init__(self, name):
        self.name = name
        self.id = self._buildah("from", "--pull-never", name)
        self.root = self._buildah("mount", self.id)
        self.config = json.loads(self._buildah("inspect", "--type", "container", self.id))["OCIv1"]["config"]

    @staticmethod
    def _buildah(*arguments):
        return subprocess.run(["buildah", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def remove(self):
        self._buildah("rm", self.id)

    def user(self, name):
        """The numbers of `name`, which may be one, or `USER:GROUP`."""
        user, _, group = (name or "0").partition(":")
        if user.isdigit():
            return int(user), int(group or 0)
        with open(f"{self.root}/etc/passwd", encoding="utf-8") as lines:
            for line in lines:
                fields = line.split(":")
                if fields[0] == user:
                    return int(fields[2]), int(fields[3])
        raise KeyError(f"{self.name} has no user {user}")


class Container:
    """A process in an image. `volumes` are (source, target) pairs, and read-only unless a third member says True."""

    def __init__(self, image, command=None, env=None, user=None, group=None, tmpfs=(), volumes=(), hosts=""):
        config = image.config
        self.image = image
        self.command = command or [*config.get("Entrypoint", []), *config.get("Cmd", [])]
        self.uid, self.gid = image.user(user or config.get("User"))
        if group is not None:
            self.gid = group
        self.env = dict(pair.split("=", 1) for pair in config.get("Env", []))
        self.env.update(env or {})
        self.env.setdefault("HOME", "/tmp")
        self.tmpfs, self.volumes, self.hosts = list(tmpfs), list(volumes), hosts
        self.process = None

    def start(self, log):
        spec = {
            "root": self.image.root,
            "command": self.command,
            "env": self.env,
            "uid": self.uid,
            "gid": self.gid,
            "tmpfs": self.tmpfs,
            "volumes": self.volumes,
            "hosts": self.hosts,
        }
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, __file__, json.dumps(spec)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        return self

    def run(self, log, seconds=60):
        """Returns the exit status."""
        return self.start(log).process.wait(seconds)

    def _inner(self):
        """The pid of the container's first process, which `unshare` waits for; None before it is there."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as pids:
            return next(iter(pids.read().split()), None)

    def execute(self, command):
        """Runs a command beside the container's process, as `docker exec` and health checks do."""
        inner = self._inner()
        if not inner:
            return subprocess.CompletedProcess(command, 1, "the container does not run")
        return subprocess.run(
            ["nsenter", "-t", inner, "-m", "-p", "-r", "-w", "-S", str(self.uid), "-G", str(self.gid), "--", *command],
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def wait_until(self, check, seconds=60):
        end = time.monotonic() + seconds
        while not check():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.image.name} ended with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > end:
                raise RuntimeError(f"{self.image.name} is not ready after {seconds} s:\n{self.output()}")
            time.sleep(0.1)

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as text:
            return text.read()[-4000:]

    def stop(self):
        """Returns when all processes of the container have ended, and their ports are free."""
        while self.process.poll() is None:
            inner = self._inner()
            if inner:
                os.kill(int(inner), signal.SIGKILL)
                self.process.wait()


def inside(root, target):
    """A path of the image with its links followed, none of which leads out of the image."""
    path = root
    parts = target.split("/")[::-1]
    while parts:
        part = parts.pop()
        if os.path.islink(f"{path}/{part}"):
            link = os.readlink(f"{path}/{part}")
            parts.extend(link.split("/")[::-1])
            path = root if link.startswith("/") else path
        elif part == "..":
            path = path if path == root else os.path.dirname(path)
        elif part:
            path = f"{path}/{part}"
    return path


def place(root, target, source=None):
    """The place of a mount in the image, made as an engine makes it."""
    path = inside(root, target)
    if source and not os.path.isdir(source):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.exists(path):
            open(path, "wb").close()
    else:
        os.makedirs(path, exist_ok=True)
    return path


def mount_all(spec):
    root = spec["root"]
    mount("--make-rprivate", "/")
    mount("--bind", root, root)
    devices = place(root, "/dev")
    mount("-t", "tmpfs", "-o", "mode=755", "dev", devices)
    for name in DEVICES:
        mount("--bind", f"/dev/{name}", place(root, f"/dev/{name}", f"/dev/{name}"))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{devices}/{name}")
    os.symlink("/proc/self/fd", f"{devices}/fd")
    mount("-t", "tmpfs", "-o", "mode=1777,nosuid,nodev,noexec", "shm", place(root, "/dev/shm"))
    mount("-t", "proc", "proc", place(root, "/proc"))
    for target in spec["tmpfs"]:
        mount("-t", "tmpfs", "-o", "mode=1777,nosuid,nodev,noexec", "tmpfs", place(root, target))
    hosts = place(root, "/etc/hosts", __file__)
    mount("-t", "tmpfs", "-o", "mode=755", "hosts", "/mnt")
    with open("/mnt/hosts", "w", encoding="ascii") as lines:
        lines.write(f"127.0.0.1 localhost {spec['hosts']}\n")
    mount("--bind", "/mnt/hosts", hosts)
    for source, target, *writable in spec["volumes"]:
        path = place(root, target, source)
        mount("--bind", source, path)
        if not any(writable):
            mount("-o", "remount,bind,ro", path)
    mount("-o", "remount,bind,ro", root)


def enter(spec):
    mount_all(spec)
    # An engine gives the container's user its outputs, so that `/dev/stdout` can be opened.
    for descriptor in (1, 2):
        os.fchown(descriptor, spec["uid"], spec["gid"])
    os.chroot(spec["root"])
    os.chdir("/")
    libc = ctypes.CDLL(None)
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setgid(spec["gid"])
    os.setuid(spec["uid"])
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execvpe(spec["command"][0], spec["command"], spec["env"])


if __name__ == "__main__":
    enter(json.loads(sys.argv[1]))
