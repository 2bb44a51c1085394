// What ends soon: certificates, tokens and secrets among the values in use.

const SOON_DAYS = 30;

/** Shows what ends within 30 days, the first first; what has ended stays until it is replaced. */
function showEnds(references) {
  const soon = references
    .filter((it) => isSet(it.expires) && it.expires - nodeNow() < SOON_DAYS * DAY)
    .sort((a, b) => a.expires - b.expires || (a.reference < b.reference ? -1 : 1));
  const body = byId("ends").tBodies[0];
  // Days left are part of what is drawn: they change without an answer that differs.
  const seen = soon.map((it) => [it.reference, it.vault, it.expires, it.expires_what, left(it.expires)]);
  draw(body, seen, () => soon.map(endRow));
  byId("ends").hidden = soon.length === 0;
  byId("no-ends").hidden = soon.length > 0;
}

/** The days that are left, and how urgent that is. */
function left(at) {
  const seconds = at - nodeNow();
  if (seconds <= 0) return ["ended", "wrong", "bad"];
  const words = seconds < DAY ? "less than a day" : count(Math.floor(seconds / DAY), "day");
  if (seconds < 3 * DAY) return [words, "wrong", "bad"];
  return seconds < 14 * DAY ? [words, "look", "warn"] : [words, "clock", "calm"];
}

function endRow(it) {
  const row = el("tr", { role: "row" });
  const add = (label, ...children) => {
    const node = cell(label);
    node.append(...children);
    row.append(node);
  };
  add("Left", badge(...left(it.expires)));
  add("What ends", visible(it.expires_what ?? "value"));
  add("Reference", foreign(it.reference, "code"));
  add("Vault", foreign(it.vault));
  add("Ends", time(it.expires, "date"));
  return row;
}
