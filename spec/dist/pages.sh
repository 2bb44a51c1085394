# What a newcomer does: the commands of pages as they stand, in release.sh's chroot; to be sourced by it.
# shellcheck shell=bash disable=SC2154

# page_block PAGE LANGUAGE NUMBER HEADING: a block of that language, counted from the heading on (none: from the top).
page_block() {
  awk -v language="$2" -v number="$3" -v heading="${4:-}" '
    heading == "" || /^## / { inside = heading == "" || index($0, "## " heading) == 1 }
    open && $0 == "```" { exit }
    open
    inside && $0 == "```" language && ++count == number { open = 1 }
  ' "$1"
}

# run_block BLOCK: in the chroot, in the folder with the artefacts; stops at the first command that fails.
run_block() {
  [ -n "$1" ] || {
    echo "the page has no such block"
    return 1
  }
  inside sh -ec "cd $folder
$1" </dev/null
}

# Installed as docs/install.md says.
tarball_install() {
  run_block "$(page_block docs/install.md "sh package" 1 "RHEL")"
}

tarball_remove() {
  run_block "$(page_block docs/install.md "sh package" 2 "RHEL")"
}

# What it depends on is there: apt has no lists to take anything from.
deb_install() {
  run_block "$(page_block docs/install.md "sh package" 1 "Debian")"
}

deb_remove() {
  inside apt-get purge --yes kong-vault
}

rock_install() {
  run_block "$(page_block docs/install.md "sh package" 1 "LuaRocks")"
}

rock_remove() {
  inside luarocks remove kong-vault
}
