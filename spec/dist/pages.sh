# What a newcomer does: the commands of docs/install.md as they stand, in release.sh's chroot; to be sourced by it.
# shellcheck shell=bash disable=SC2154

# page_block PAGE LANGUAGE NUMBER HEADING: a block of that language, counted from the first heading with that word on (none: from
# the top).
page_block() {
  awk -v language="$2" -v number="$3" -v heading="${4:-}" '
    heading == "" || /^## / { inside = heading == "" || index($0, heading) > 0 }
    open && $0 == "```" { exit }
    open
    inside && $0 == "```" language && ++count == number { open = 1 }
  ' "$1"
}

# run_page NUMBER [HEADING]: a block of the page in the chroot, in the folder with the artefacts; stops at the first command that
# fails. The page names the files for amd64. Where a package manager asks, the answer is yes.
run_page() {
  local block
  block=$(page_block docs/install.md "sh package" "$@")
  [ -n "$block" ] || {
    echo "the page has no such block"
    return 1
  }
  block=${block//x86_64/$machine}
  inside sh -ec "cd $folder
${block//amd64/$architecture}" <<<y
}

checksums() {
  run_page 1
}

tarball_install() {
  run_page 1 "Kong, OpenResty"
}

tarball_remove() {
  run_page 2 "Kong, OpenResty"
}

# What it depends on is there: apt has no lists to take anything from.
deb_install() {
  run_page 1 "Debian"
}

deb_remove() {
  run_page 2 "Debian"
}

rock_install() {
  run_page 1 "LuaRocks"
}

rock_remove() {
  run_page 2 "LuaRocks"
}
