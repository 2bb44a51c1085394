// The table of references in use. Rows stay in the document: a filter hides them, and only cells that changed are drawn.

const COLUMNS = [
  { key: "reference", label: "Reference", by: (it) => it.reference },
  { key: "vault", label: "Vault", by: (it) => it.vault },
  { key: "state", label: "State", by: (it) => STATE_ORDER.indexOf(it.state) },
  { key: "age", label: "Age", by: (it) => it.age },
  { key: "renewal", label: "Next renewal", by: (it) => it.next_renewal },
  { key: "ends", label: "Ends", by: (it) => endOf(it)?.at ?? null },
];

const referenceRows = new Map();

/** The worst first, until someone chooses. */
let order = { key: "state", descending: true };

/** How long typing must rest before the number found is read out. */
const REST = 600;
let announcing = 0;

/** When a value ends: by itself, or with the vault's lease. */
function endOf(it) {
  if (it.expires !== null && it.expires !== undefined) return { at: it.expires, what: it.expires_what ?? "value" };
  return it.lease_end === null || it.lease_end === undefined ? null : { at: it.lease_end, what: "lease" };
}

/** Makes headers and filters work. Called once. */
function startReferences() {
  const head = byId("references").tHead.rows[0];
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
  const now = status.now;
  const gone = new Set(referenceRows.keys());
  for (const it of status.references) {
    gone.delete(it.reference);
    const row = referenceRows.get(it.reference) ?? referenceRow();
    referenceRows.set(it.reference, row);
    row.it = it;
    row.text = `${it.reference}\n${it.vault}`.toLowerCase();
    drawReference(row, it, now);
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

function drawReference(row, it, now) {
  const [name, vault, state, age, renewal, ends] = row.cells;
  draw(name, it.reference, () => foreign(it.reference, "code"));
  draw(vault, it.vault, () => foreign(it.vault));
  const failed = (it.state === "failing" || it.state === "open") && it.last_failure !== null ? it.last_failure : null;
  draw(state, [it.state, failed], () => [
    stateBadge(STATES, it.state),
    failed === null ? null : el("span", { class: "sub" }, "failed ", time(failed)),
  ]);
  // The age grows by itself; when the value was fetched does not, but for seconds that were rounded in two ways.
  const fetched = it.age === null ? null : now - it.age;
  if (fetched === null || Math.abs(fetched - row.fetched) > 1) row.fetched = fetched;
  draw(age, row.fetched, () => (row.fetched === null ? never("no value") : time(row.fetched, "age")));
  draw(renewal, it.next_renewal, () => (it.next_renewal === null ? never("none") : time(it.next_renewal)));
  const end = endOf(it);
  draw(ends, end, () =>
    end ? [time(end.at), el("span", { class: "sub", text: visible(end.what) })] : never("unknown"),
  );
}

function sortBy(key) {
  const numeric = key !== "reference" && key !== "vault";
  // Of states the worst is wanted first; of times the next.
  order = order.key === key ? { key, descending: !order.descending } : { key, descending: numeric && key === "state" };
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
  if (left === null || left === undefined) return 1;
  if (right === null || right === undefined) return -1;
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
