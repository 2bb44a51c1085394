// The table of references in use. Rows stay in the document: a filter hides them, and only cells that changed are drawn.

/**
 * The columns: `by` is what they are sorted by, `show` draws a row's cell, `width` is a track of the rows' grid, which
 * style.css takes from `--columns`.
 */
const COLUMNS = [
  {
    key: "reference",
    label: "Reference",
    width: "minmax(0, 1fr)",
    by: (it) => it.reference,
    show: (node, { it }) => draw(node, it.reference, () => foreign(it.reference, "code")),
  },
  {
    key: "vault",
    label: "Vault",
    width: "14%",
    by: (it) => it.vault,
    show: (node, { it }) => draw(node, it.vault, () => foreign(it.vault)),
  },
  {
    key: "state",
    label: "State",
    width: "minmax(9.75rem, 14%)",
    by: (it) => STATE_ORDER.indexOf(it.state),
    show: (node, { it }) => {
      const failed = it.state === "failing" || it.state === "open" ? it.last_failure : null;
      draw(node, [it.state, failed], () => [
        stateBadge(STATES, it.state),
        failed === null ? null : el("span", { class: "sub" }, "failed ", time(failed)),
      ]);
    },
  },
  {
    key: "age",
    label: "Age",
    width: "9%",
    by: (it) => it.age,
    // The words are made anew as time goes on, so only a fetch makes another age of it.
    show: (node, { fetched }) => draw(node, fetched, () => (fetched === null ? never("no value") : time(fetched, "age"))),
  },
  {
    key: "renewal",
    label: "Next renewal",
    width: "12%",
    by: (it) => it.next_renewal,
    show: (node, { it }) =>
      draw(node, it.next_renewal, () => (it.next_renewal === null ? never("none") : time(it.next_renewal))),
  },
  {
    key: "ends",
    label: "Ends",
    width: "11%",
    by: (it) => endOf(it)?.at ?? null,
    show: (node, { it }) => {
      const end = endOf(it);
      draw(node, end, () =>
        end ? [time(end.at), el("span", { class: "sub", text: visible(end.what) })] : never("unknown"),
      );
    },
  },
];

const referenceRows = new Map();

/** The worst first, until someone chooses. */
let order = { key: "state", descending: true };

/** How long typing must rest before the number found is read out. */
const REST = 600;
let announcing = 0;

/** When a value ends: by itself, or with the vault's lease. */
function endOf(it) {
  if (isSet(it.expires)) return { at: it.expires, what: it.expires_what ?? "value" };
  return isSet(it.lease_end) ? { at: it.lease_end, what: "lease" } : null;
}

/** Makes headers and filters work. Called once. */
function startReferences() {
  const table = byId("references");
  table.style.setProperty("--columns", COLUMNS.map((column) => column.width).join(" "));
  const head = table.tHead.rows[0];
  for (const column of COLUMNS) {
    const button = el("button", { type: "button", class: "sort", click: () => sortBy(column.key) }, column.label);
    head.append(el("th", { role: "columnheader", scope: "col" }, button));
  }
  for (const state of STATE_ORDER) byId("filter-state").append(el("option", { value: state, text: STATES[state][0] }));
  byId("filter").addEventListener("input", () => filterReferences(true));
  byId("filter-state").addEventListener("change", () => filterReferences(true));
  showOrder();
}

function showReferences(status) {
  const gone = new Set(referenceRows.keys());
  for (const it of status.references) {
    gone.delete(it.reference);
    const row = referenceRows.get(it.reference) ?? referenceRow();
    referenceRows.set(it.reference, row);
    noteReference(row, it, status.now);
    COLUMNS.forEach((column, at) => {
      column.show(row.cells[at], row);
    });
  }
  for (const reference of gone) referenceRows.delete(reference);
  const counts = new Map();
  for (const it of status.references) counts.set(it.state, (counts.get(it.state) ?? 0) + 1);
  for (const option of byId("filter-state").options) {
    if (option.value) setText(option, `${STATES[option.value][0]} (${numbers.format(counts.get(option.value) ?? 0)})`);
  }
  setText(
    byId("dropped"),
    status.references_dropped
      ? `${count(status.references_dropped, "secret")} found no room in this table: raise vault_metrics_references_max.`
      : "",
  );
  byId("dropped").hidden = !status.references_dropped;
  placeRows();
  filterReferences(false);
}

function referenceRow() {
  const cells = COLUMNS.map((column, at) =>
    at ? cell(column.label) : el("th", { role: "rowheader", scope: "row", "data-label": column.label }),
  );
  return { node: el("tr", { role: "row" }, ...cells), cells, it: null, text: "", fetched: null };
}

/** Remembers what a row shows. When its value was fetched stays the same but for seconds that were rounded in two ways. */
function noteReference(row, it, now) {
  const fetched = it.age === null ? null : now - it.age;
  if (fetched === null || row.fetched === null || Math.abs(fetched - row.fetched) > 1) row.fetched = fetched;
  row.it = it;
  row.text = `${it.reference}\n${it.vault}`.toLowerCase();
}

function sortBy(key) {
  // Of states the worst is wanted first; of times the next.
  order = { key, descending: order.key === key ? !order.descending : key === "state" };
  showOrder();
  placeRows();
}

function showOrder() {
  COLUMNS.forEach((column, at) => {
    const header = byId("references").tHead.rows[0].cells[at];
    if (column.key !== order.key) header.removeAttribute("aria-sort");
    else header.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
  });
}

/** What has no value comes last in both directions; equals stand by reference. */
function compare(a, b) {
  const { by } = COLUMNS.find((column) => column.key === order.key);
  const [left, right] = [by(a.it), by(b.it)];
  const names = a.it.reference < b.it.reference ? -1 : 1;
  if (left === right) return names;
  if (!isSet(left)) return 1;
  if (!isSet(right)) return -1;
  return (left < right ? -1 : 1) * (order.descending ? -1 : 1);
}

function placeRows() {
  arrange(
    byId("references").tBodies[0],
    [...referenceRows.values()].sort(compare).map((row) => row.node),
  );
}

/** Hides what the filters leave out. `aloud` reads the number found out, once typing rests. */
function filterReferences(aloud) {
  const text = byId("filter").value.trim().toLowerCase();
  const state = byId("filter-state").value;
  let found = 0;
  for (const row of referenceRows.values()) {
    const hit = (!state || row.it.state === state) && row.text.includes(text);
    if (row.node.hidden === hit) row.node.hidden = !hit;
    if (hit) found += 1;
  }
  const all = referenceRows.size;
  const words = `${numbers.format(found)} of ${numbers.format(all)}`;
  setText(byId("found"), all ? words : "");
  byId("filters").hidden = all === 0;
  byId("references-scroll").hidden = found === 0;
  byId("no-references").hidden = found > 0;
  setText(byId("no-references"), all ? "No reference matches the filter." : "No reference is in use yet.");
  if (!aloud) return;
  clearTimeout(announcing);
  announcing = setTimeout(() => setText(byId("found-live"), `${words} references shown`), REST);
}
