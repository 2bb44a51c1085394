# Counts the tests in cargo's output, and prints `passed failed skipped`; the names of what failed go to the file `failed`.
#
# A test that skips itself, having said `skipped NAME: REASON`, has passed as far as cargo knows. A program that started and never
# told its result has crashed: one failure.

function crashed() {
  if (is_running) {
    failures++
    print program ": it ended before its result" >failed
  }
}

/^ +(Running|Doc-tests) / {
  crashed()
  program = $0
  sub(/^ +(Running )?/, "", program)
  is_running = 1
}

# It stands twice: above what the failed tests printed, and above their names.
/^failures:$/ {
  names = 0
}

/^    [^ ]/ {
  name[++names] = substr($0, 5)
}

/^test result: / {
  passed += $4
  failures += $6
  skipped += $8
  for (i = 1; $6 > 0 && i <= names; i++) {
    print program ": " name[i] >failed
  }
  names = 0
  is_running = 0
}

/(^|\.\.\. )skipped [^ ]+: / {
  skipped++
  passed--
}

END {
  crashed()
  print passed + 0, failures + 0, skipped + 0
}
