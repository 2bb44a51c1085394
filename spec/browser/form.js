// What the form says about values that the server, or the form itself, does not accept.
"use strict";

const assert = require("node:assert/strict");

const { withPage, vaultRow, until, focusIs } = require("./session.js");

/** The summary of errors has focus. Returns it, and what it says of each field. */
async function summaryOf(form, head) {
  const summary = form.getByRole("alert").filter({ hasText: head });
  await summary.waitFor();
  await until("the summary has focus", () => summary.evaluate((node) => node === document.activeElement));
  const said = {};
  for (const item of await summary.getByRole("listitem").all()) {
    const name = await item.getByRole("link").innerText();
    said[name] = (await item.innerText()).slice(name.length).replace(/^: /, "");
  }
  return { summary, said };
}

/** The summary names just this field, which is marked, and described by the same text. Returns the summary. */
async function assertRefused(form, label, pattern, head = "Not saved") {
  const { summary, said } = await summaryOf(form, head);
  assert.deepEqual(Object.keys(said), [label]);
  assert.match(said[label], pattern);
  const input = form.getByLabel(label, { exact: true });
  assert.equal(await input.getAttribute("aria-invalid"), "true", label);
  const texts = [];
  for (const id of (await input.getAttribute("aria-describedby")).split(" ")) {
    const node = form.locator(`[id="${id}"]`);
    if (await node.isVisible()) texts.push((await node.innerText()).trim());
  }
  assert.ok(texts.includes(said[label]), `${label} is described by ${JSON.stringify(texts)}, not by ${said[label]}`);
  return summary;
}

/** Sends what the server refuses, then what is right. */
function violations(tools, { url }) {
  return withPage(tools, url, { answers: [400, 409] }, async (page) => {
    await page.getByRole("button", { name: "New vault" }).click();
    const form = page.getByRole("dialog", { name: "New vault" });
    const save = form.getByRole("button", { name: "Save" });
    await save.click();
    await assertRefused(form, "Prefix", /^Enter a prefix/);
    await form.getByLabel("Prefix", { exact: true }).fill("Not A Prefix");
    await save.click();
    await assertRefused(form, "Prefix", /"Not A Prefix"/);
    await form.getByLabel("Prefix", { exact: true }).fill("numbered");
    await form.getByLabel("host", { exact: true }).fill("http://vault.example/path");
    await save.click();
    const summary = await assertRefused(form, "host", /without protocol/);
    assert.equal(await form.getByLabel("Prefix", { exact: true }).getAttribute("aria-invalid"), null);
    // From the summary to the field.
    await summary.getByRole("link", { name: "host" }).click();
    await focusIs(page, "host");
    // What is mended is marked no more.
    await form.getByLabel("host", { exact: true }).fill("127.0.0.1");
    assert.equal(await form.getByLabel("host", { exact: true }).getAttribute("aria-invalid"), null);

    // A number that is none does not even leave the page.
    await form.getByLabel("port", { exact: true }).fill("no number");
    await save.click();
    await assertRefused(form, "port", /whole number/);
    await form.getByLabel("port", { exact: true }).fill("8200");

    // The whole entity: what a login needs.
    await form.getByLabel("auth_method", { exact: true }).selectOption("approle");
    await save.click();
    await assertRefused(form, "approle_role_id", /required/);
    await form.getByLabel("auth_method", { exact: true }).selectOption("token");

    await save.click();
    await form.waitFor({ state: "hidden" });
    await vaultRow(page, "numbered").waitFor();

    // The same prefix again.
    await page.getByRole("button", { name: "New vault" }).click();
    await form.getByLabel("Prefix", { exact: true }).fill("numbered");
    await save.click();
    await assertRefused(form, "Prefix", /"?numbered"?/);
    await form.getByRole("button", { name: "Cancel" }).click();
    await form.waitFor({ state: "hidden" });
  });
}

/** Changes an entity as another client does. */
function send(page, method, url, entity) {
  return page.evaluate(
    async ([to, options]) => {
      const { ok, status } = await fetch(to, options);
      if (!ok) throw new Error(`${options.method} ${to}: ${status}`);
    },
    [url, { method, headers: { "Content-Type": "application/json" }, body: entity && JSON.stringify(entity) }],
  );
}

/** Tests what the server does not test as it stands: the fields say why, and what is said of no field is said above. */
function untested(tools, { url }) {
  return withPage(tools, url, { answers: [400] }, async (page) => {
    await page.getByRole("button", { name: "New vault" }).click();
    let form = page.getByRole("dialog", { name: "New vault" });
    let test = form.getByRole("button", { name: "Test", exact: true });
    const remark = () => form.getByRole("status").filter({ hasText: "Not tested: see above" });
    await form.getByLabel("Prefix", { exact: true }).fill("untested");
    await form.getByLabel("host", { exact: true }).fill("http://vault.example/path");
    await test.click();
    await assertRefused(form, "host", /without protocol/, "Not tested");
    await remark().waitFor();

    // An option that the form shows only under "More options". The form itself has no wrong value for one.
    await page.route("**/vaults/_check", (route) =>
      route.fulfill({ status: 400, json: { message: "schema violation", fields: { config: { ssl_verify: "expected a boolean" } } } }),
    );
    await test.click();
    await assertRefused(form, "ssl_verify", /^expected a boolean/, "Not tested");
    await page.unroute("**/vaults/_check");

    // The remark goes with the errors.
    await remark().waitFor();
    await form.getByLabel("Prefix", { exact: true }).fill("");
    await form.getByRole("button", { name: "Save" }).click();
    await assertRefused(form, "Prefix", /^Enter a prefix/);
    assert.equal(await remark().count(), 0);
    await form.getByRole("button", { name: "Cancel" }).click();

    // One that somebody deletes while it is edited.
    await send(page, "PUT", `${url}/untested`, { name: "hcv", config: { host: "127.0.0.1" } });
    await page.getByRole("button", { name: "Refresh", exact: true }).click();
    await vaultRow(page, "untested").getByRole("button", { name: "Edit untested" }).click();
    form = page.getByRole("dialog", { name: "Edit untested" });
    test = form.getByRole("button", { name: "Test", exact: true });
    await send(page, "DELETE", `${url}/untested`);
    await test.click();
    const summary = form.getByRole("alert").filter({ hasText: "Not tested" });
    await summary.getByText("no entity has this id").waitFor();
    assert.equal((await summary.getByRole("listitem").all()).length, 1);
    await form.getByRole("button", { name: "Cancel" }).click();
  });
}

/** Saves a form that is closed before the answer comes. What is opened meanwhile stays, with what was typed. */
function late(tools, { url }) {
  return withPage(tools, url, {}, async (page) => {
    let answer;
    const isHeld = new Promise((resolve) => {
      page.route("**/vaults", (route) => {
        if (route.request().method() !== "POST") return route.continue();
        answer = () => route.continue();
        resolve();
      });
    });
    const open = page.getByRole("button", { name: "New vault" });
    const form = page.getByRole("dialog", { name: "New vault" });
    const prefix = form.getByLabel("Prefix", { exact: true });
    await open.click();
    await prefix.fill("slow");
    await form.getByRole("button", { name: "Save" }).click();
    await isHeld;
    await page.keyboard.press("Escape");
    await form.waitFor({ state: "hidden" });
    await open.click();
    await prefix.fill("typed");
    answer();
    await page.getByRole("status").filter({ hasText: "slow is created." }).waitFor({ state: "attached" });
    await until("the state is shown anew", async () => (await page.locator("#vaults").innerText()).includes("slow"));
    assert.equal(await prefix.inputValue(), "typed");
    await page.keyboard.press("Escape");
    await form.waitFor({ state: "hidden" });
    await send(page, "DELETE", `${url}/slow`);
  });
}

module.exports = { violations, untested, late };
