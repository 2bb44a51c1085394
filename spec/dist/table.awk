# The results of scripts/test-dist as a table: a row for each release that ran. With `-v short=1`, the table of README.md: a column for
# each release that has ngx_lua and where nothing failed, and the day in the corner.

BEGIN {
  FS = "\t"
  columns = split("distribution glibc nginx ngx_lua ngx_stream_lua LuaJIT lua-resty-core ngx.semaphore " \
    "ssl_certificate ssl_client_hello luarocks tarball deb rock", column, " ")
  "date -u +%Y-%m-%d" | getline today
}

!($2 in known) {
  known[$2] = 1
  order[++releases] = $2
}

$1 == "fact" {
  cell[$2, $3] = $4
}

$1 == "result" && $4 == "FAILED" {
  failed[$2, $3] = 1
  flawed[$2] = 1
}

$1 == "result" {
  tried[$2, $3] = 1
}

$1 == "result" && $3 == "chroot" && $5 == "cannot be had" {
  cell[$2, "distribution"] = $2 " (could not be had)"
}

# line(NAME, TEXT): a cell for each of these releases, with TEXT or what the release has of NAME.
function line(name, text,    r) {
  for (r = 1; r <= releases; r++)
    if (cell[order[r], "ngx_lua"] ~ /^[0-9]/ && !(order[r] in flawed))
      printf "%s", text ? text "|" : " " cell[order[r], name] " |"
  printf "\n"
}

function short_table() {
  printf "| run on %s |", today
  line("distribution")
  printf "|---|"
  line("", "---")
  printf "| nginx |"
  line("nginx")
  printf "| ngx_lua |"
  line("ngx_lua")
}

END {
  if (short) {
    short_table()
    exit
  }
  print "Run on " today ":"
  print ""
  printf "| release |"
  for (i = 2; i <= columns; i++)
    printf " %s |", column[i]
  printf "\n|"
  for (i = 1; i <= columns; i++)
    printf "---|"
  printf "\n"
  for (r = 1; r <= releases; r++) {
    printf "|"
    for (i = 1; i <= columns; i++) {
      text = cell[order[r], column[i]]
      if ((order[r], column[i]) in tried)
        text = (order[r], column[i]) in failed ? "FAILED" : "ok"
      printf " %s |", text == "" ? "none" : text
    }
    printf "\n"
  }
}
