// The page of a Kong: its vault entities can be edited, and its Admin API masks no secret.
"use strict";

const assert = require("node:assert/strict");

const { withPage, vaultRow, keptBy } = require("./session.js");

const ID = "6a0ad6b2-9d5c-4f0e-8a52-0c5a4f6b3d11";

/** Two entities as Kong answers them: one that the node's state has, with a flaw, and one that no reference has used. */
function entities(config) {
  const rest = { description: null, tags: null, created_at: 1700000000, updated_at: 1700000000 };
  return [
    { id: ID, name: "hcv", prefix: "used", config, ...rest },
    { id: ID.replace(/^./, "7"), name: "env", prefix: "unused", config: { prefix: null }, ...rest },
  ];
}

/** Has the answers of a node be those of a Kong. `stored` gets the bodies that are sent to be stored. */
async function pretend(page, config, stored) {
  const all = entities(config);
  await page.route("**/vaults/_status", async (route) => {
    const response = await route.fetch();
    const status = await response.json();
    const used = { ...status.vaults[0], name: "used", backend: "hcv", kind: "kong", flawed: true };
    status.vaults.push({ ...used, reason: "invalid", error: "`port` must be a whole number from 1 to 65535" });
    await route.fulfill({ response, json: status });
  });
  await page.route(/\/vaults\?size/, (route) => route.fulfill({ json: { data: all, next: null } }));
  await page.route(`**/vaults/${ID}`, (route) => {
    if (route.request().method() === "PUT") stored.push(route.request().postDataJSON());
    return route.fulfill({ json: all[0] });
  });
}

/** Edits an entity. `secrets` are values of its `config` that no form may show. */
function edit(tools, { url, config, secrets }) {
  const stored = [];
  return withPage(tools, url, { prepare: (page) => pretend(page, config, stored) }, async (page) => {
    const row = await vaultRow(page, "used").innerText();
    for (const text of ["kong", "flawed", "Edit the vault"]) assert.ok(row.includes(text), `${text} in ${row}`);
    const unused = await vaultRow(page, "unused").innerText();
    for (const text of ["kong", "not used yet"]) assert.ok(unused.includes(text), `${text} in ${unused}`);

    await vaultRow(page, "used").getByRole("button", { name: "Edit used" }).click();
    const form = page.getByRole("dialog", { name: "Edit used" });
    await form.getByRole("button", { name: "Save" }).waitFor();
    assert.equal(await form.getByLabel("host", { exact: true }).inputValue(), config.host);
    assert.equal(await form.getByText("Set. Leave empty to keep it.").count(), secrets.length);
    const kept = (await keptBy(page)).join(" ");
    for (const secret of secrets) assert.ok(!kept.includes(secret), "a secret is in the page");

    // What is not shown is kept all the same.
    await form.getByLabel("Description", { exact: true }).fill("Edited");
    await form.getByRole("button", { name: "Save" }).click();
    await form.waitFor({ state: "hidden" });
    assert.deepEqual(stored, [{ name: "hcv", prefix: "used", description: "Edited", tags: null, config }]);
  });
}

module.exports = { edit };
