"""What the documentation's site needs beside mdBook.

site.py pages supports RENDERER, site.py pages: mdBook's preprocessor. A page that says `<!-- site: FILE -->` gets the text of that
file, which lies elsewhere in the project. Links that lead out of the book lead to the project's repository.

site.py links FOLDER: checks the built site: each link leads to a file and a heading that are there, and nothing is loaded from
another host.
"""

import json
import os
import re
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

ELSEWHERE = re.compile(r"^<!-- site: (\S+) -->$", re.MULTILINE)
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def chapters(items):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            yield chapter
            yield from chapters(chapter["sub_items"])


def preprocess():
    context, book = json.load(sys.stdin)
    os.chdir(context["root"])
    source = context["config"]["book"]["src"]
    repository = context["config"]["output"]["html"]["git-repository-url"]
    pages = [chapter for chapter in chapters(book["items"]) if chapter["path"]]
    # Which page of the book shows a file, and where the text of each page lies in the project.
    shown, origin = {}, {}
    for page in pages:
        path = os.path.normpath(os.path.join(source, page["path"]))
        shown[path] = page["path"]
        elsewhere = ELSEWHERE.search(page["content"])
        if elsewhere:
            path = os.path.normpath(os.path.join(os.path.dirname(path), elsewhere[1]))
            with open(path, encoding="utf-8") as file:
                page["content"] = file.read()
            shown[path] = page["path"]
        origin[page["path"]] = path

    for page in pages:

        def lead(match, page=page):
            address, hash_, anchor = match[2].partition("#")
            if "://" in address or not address:
                return match[0]
            path = os.path.normpath(os.path.join(os.path.dirname(origin[page["path"]]), address))
            if path in shown:
                target = os.path.relpath(shown[path], os.path.dirname(page["path"]) or ".")
            elif path.startswith(f"{source}/") and not path.endswith(".md"):
                # mdBook copies what else lies there, such as pictures.
                target = os.path.relpath(os.path.relpath(path, source), os.path.dirname(page["path"]) or ".")
            else:
                target = f"{repository}/{'tree' if os.path.isdir(path) else 'blob'}/main/{path}"
            return match[1] + target + hash_ + anchor + match[3]

        parts = FENCE.split(page["content"])
        parts[::2] = [LINK.sub(lead, part) for part in parts[::2]]
        page["content"] = "".join(parts)
    json.dump(book, sys.stdout)


class Page(HTMLParser):
    """The links, headings and loaded files of a built page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {""}
        with open(path, encoding="utf-8") as file:
            self.feed(file.read())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors.update(filter(None, (values.get("id"), values.get("name"))))
        address = values.get("href") if tag in ("a", "link") else values.get("src")
        if address is not None:
            (self.links if tag == "a" else self.loaded).append(address)


def check(folder):
    pages = {
        os.path.join(where, name): None
        for where, _, names in os.walk(folder)
        for name in names
        if name.endswith(".html") and name not in ("404.html", "toc.html")
    }
    for path in pages:
        pages[path] = Page(path)
    faults, checked = [], 0
    for path, page in sorted(pages.items()):
        for address in page.loaded:
            if urlsplit(address).netloc:
                faults.append(f"{path} loads {address}")
        for address in page.links + page.loaded:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or address.startswith("data:"):
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(path), unquote(parts.path))) if parts.path else path
            checked += 1
            if not os.path.exists(target):
                faults.append(f"{path} leads to {address}, which is not there")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                faults.append(f"{path} leads to {address}, which has no such heading")
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".css"):
                with open(os.path.join(where, name), encoding="utf-8") as file:
                    if re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", file.read()):
                        faults.append(f"{name} loads something from another host")
    if checked < 100:
        faults.append(f"only {checked} links in {folder}")
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    if sys.argv[1:3] == ["pages", "supports"]:
        sys.exit(0)
    if sys.argv[1:] == ["pages"]:
        preprocess()
    elif sys.argv[1] == "links":
        check(sys.argv[2])
    else:
        sys.exit(__doc__)
