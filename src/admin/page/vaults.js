// The table of vaults: built-in, declarative and entities, with their health and what to do about it.

const vaultRows = new Map();

/** What tells of changes in health; empty before the first state is shown. */
const lastHealth = new Map();

/** The kind of a stored entity that the state does not have. Where all of them are Kong's, the address says so too. */
function kindOfStored(status) {
  const isKong = BASE.endsWith("/kong-vault/vaults") || status.vaults.some((vault) => vault.kind === "kong");
  return isKong ? "kong" : "entity";
}

/**
 * Joins the node's vaults with the stored entities. The state lacks those that were created a moment ago and, in Kong, those
 * that no reference has used.
 */
function joinVaults(status, entities) {
  const stored = new Map((entities ?? []).map((entity) => [entity.prefix, entity]));
  const vaults = status.vaults.map((vault) => {
    const isStored = vault.kind === "entity" || vault.kind === "kong";
    const entity = isStored ? stored.get(vault.name) : undefined;
    if (entity) stored.delete(vault.name);
    return { ...vault, entity };
  });
  const kind = kindOfStored(status);
  for (const entity of stored.values()) {
    vaults.push({
      name: entity.prefix,
      backend: entity.name,
      kind,
      state: "unused",
      last_success: null,
      last_failure: null,
      reason: null,
      error: null,
      token_expires: null,
      entity,
    });
  }
  return vaults;
}

/** Shows the vaults. `actions` has `test`, `edit` and `remove`, which get the vault and the button. */
function showVaults(vaults, actions) {
  const body = byId("vaults").tBodies[0];
  const names = new Set(vaults.map((vault) => vault.name));
  for (const [name, row] of vaultRows) {
    if (names.has(name)) continue;
    if (row.node.contains(document.activeElement)) byId("vaults-title").focus();
    vaultRows.delete(name);
    lastHealth.delete(name);
  }
  const rows = vaults.map((vault) => {
    const row = vaultRows.get(vault.name) ?? vaultRow(vault, actions);
    vaultRows.set(vault.name, row);
    row.show(vault);
    return row.node;
  });
  arrange(body, rows);
  byId("vaults").hidden = vaults.length === 0;
  byId("no-vaults").hidden = vaults.length > 0;
  setText(byId("vaults-sum"), summary(vaults));
}

function summary(vaults) {
  const bad = vaults.filter(isTrouble).length;
  return `${count(vaults.length, "vault")}${bad ? `, ${numbers.format(bad)} to look at` : ""}`;
}

/** Returns in words which vaults' health is another than when this was last called. */
function changesOfHealth(vaults) {
  const changed = [];
  const isFirst = lastHealth.size === 0;
  for (const vault of vaults) {
    const health = healthOf(vault);
    const before = lastHealth.get(vault.name);
    lastHealth.set(vault.name, health);
    const isFirstUse = before === "unused" && health === "ok";
    if (!isFirst && before && before !== health && !isFirstUse)
      changed.push(`${visible(vault.name)}: ${HEALTH[health][0]}`);
  }
  return changed.join("; ");
}

function vaultRow(vault, actions) {
  const cells = {
    name: el("th", { role: "rowheader", scope: "row", "data-label": "Vault" }),
    backend: cell("Backend"),
    health: cell("Health"),
    success: cell("Last success"),
    failure: cell("Last failure"),
    error: cell("Last error", "texts"),
    actions: cell("Actions", "actions"),
  };
  const node = el("tr", { role: "row" }, ...Object.values(cells));
  // The buttons act on the vault as it was last shown.
  const row = { node, vault, show };

  function show(next) {
    row.vault = next;
    const health = healthOf(next);
    draw(cells.name, [next.name, next.entity?.description, next.entity?.tags], () => nameOf(next));
    draw(cells.backend, [next.backend, next.kind], () => [
      foreign(next.backend ?? "unknown", "code"),
      el("span", { class: "sub", text: visible(next.kind) }),
    ]);
    draw(cells.health, [health, next.state, next.token_expires], () => healthCell(next, health));
    draw(cells.success, next.last_success, () => (next.last_success === null ? never() : timeTwice(next.last_success)));
    draw(cells.failure, next.last_failure, () => (next.last_failure === null ? never() : timeTwice(next.last_failure)));
    draw(cells.error, [next.error, health, next.reason, next.kind], () => errorCell(next, health));
    draw(cells.actions, [next.name, Boolean(next.entity)], () => buttons(next));
  }

  function buttons(next) {
    const button = (word, act, className) =>
      rowButton(word, next.name, (event) => act(row.vault, event.currentTarget), className);
    return [
      button("Test", actions.test),
      next.entity ? button("Edit", actions.edit) : null,
      next.entity ? button("Delete", actions.remove, "danger") : null,
    ];
  }
  return row;
}

function nameOf({ name, entity }) {
  return [
    foreign(name, "name"),
    entity?.description ? el("span", { class: "sub" }, foreign(entity.description)) : null,
    entity?.tags?.length ? el("span", { class: "sub" }, ...entity.tags.map((tag) => foreign(tag, "tag"))) : null,
  ];
}

function healthCell(vault, health) {
  const parts = [stateBadge(HEALTH, health)];
  if (health === "flawed" && (vault.state === "open" || vault.state === "half_open")) {
    parts.push(el("span", { class: "sub", text: HEALTH[vault.state][0] }));
  }
  if (isSet(vault.token_expires)) {
    parts.push(el("span", { class: "sub" }, "token ends ", time(vault.token_expires)));
  }
  return parts;
}

function errorCell(vault, health) {
  const advice = adviceFor(vault);
  if (health === "ok" && vault.error) {
    return el(
      "details",
      { class: "past" },
      el("summary", {}, "Earlier error", el("span", { class: "vh", text: ` of ${visible(vault.name)}` })),
      el("p", {}, ...prose(vault.error)),
    );
  }
  if (!vault.error && !advice)
    return el("span", { class: "muted", text: health === "unused" ? "no reference uses it yet" : "none" });
  return [
    vault.error ? el("p", {}, ...prose(vault.error)) : null,
    advice ? el("p", {}, el("strong", { text: "What to do: " }), ...prose(advice)) : null,
  ];
}
