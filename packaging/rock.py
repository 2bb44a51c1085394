"""LuaRocks' packages, written so that the same content is the same bytes.

rock.py binary TREE ROCKSPEC FILE: of a staged tree, with bin, lib and share.
rock.py source FOLDER ROCKSPEC FILE: with the folder as an archive in it, which LuaRocks unpacks and builds.

They are what `luarocks pack` makes; that one takes the times and the order of a file system, and an installed rock.
"""

import gzip
import hashlib
import io
import os
import pathlib
import re
import sys
import tarfile
import time
import zipfile

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])


def write_zip(path, entries):
    """Entries: name to bytes and whether it is a program."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, (content, program) in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, time.gmtime(EPOCH)[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (0o100755 if program else 0o100644) << 16
            archive.writestr(entry, content)


def manifest(entries):
    """`rock_manifest`: the files' MD5 sums, as tables in tables."""
    root = {}
    for name, (content, _) in entries.items():
        table = root
        *folders, last = name.split("/")
        for folder in folders:
            table = table.setdefault(folder, {})
        table[last] = hashlib.md5(content).hexdigest()

    def lua(table, indent):
        lines = []
        for key, value in sorted(table.items()):
            text = lua(value, indent + "  ") if isinstance(value, dict) else f'"{value}"'
            lines.append(f'{indent}  ["{key}"] = {text},\n')
        return "{\n" + "".join(lines) + indent + "}"

    return f"rock_manifest = {lua(root, '')}\n".encode()


def binary(tree, rockspec, target):
    tree = pathlib.Path(tree)
    places = {"lib/lua/5.1": "lib", "share/lua/5.1": "lua", "bin": "bin", "share/doc/kong-vault": "doc"}
    entries = {rockspec.name: (rockspec.read_bytes(), False)}
    for place, folder in places.items():
        for file in (tree / place).rglob("*"):
            if file.is_file():
                entries[f"{folder}/{file.relative_to(tree / place)}"] = (file.read_bytes(), folder == "bin")
    entries["rock_manifest"] = (manifest(entries), False)
    write_zip(target, entries)


def source(folder, rockspec, target):
    """The rockspec in it names the archive beside it."""
    folder = pathlib.Path(folder)
    archive = f"{folder.name}.tar.gz"
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=9, filename="", mtime=0) as compressed:
        with tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for file in sorted(folder.rglob("*")):
                info = tar.gettarinfo(file, f"{folder.name}/{file.relative_to(folder)}")
                info.mtime, info.uid, info.gid, info.uname, info.gname = EPOCH, 0, 0, "", ""
                info.mode = 0o755 if info.mode & 0o100 else 0o644
                with open(file, "rb") if file.is_file() else io.BytesIO() as content:
                    tar.addfile(info, content)
    text = rockspec.read_text()
    named = re.sub(r"source = \{.*?\n\}", f'source = {{\n  url = "file://{archive}",\n  dir = "{folder.name}",\n}}', text, flags=re.S)
    write_zip(target, {rockspec.name: (named.encode(), False), archive: (packed.getvalue(), False)})


kind, content, spec, out = sys.argv[1:]
{"binary": binary, "source": source}[kind](content, pathlib.Path(spec), out)
