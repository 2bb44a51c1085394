// One page from the first vault to its deletion, as an operator goes about it with a mouse. Each function goes on where the one
// before it ended.
"use strict";

const assert = require("node:assert/strict");

const { open, until, vaultRow, tested, focusIs, keptBy } = require("./session.js");

let session;

/** Waits for a test in a dialog to end. Returns its verdict and its steps, each as `severity: step: message`. */
async function resultOf(dialog) {
  const verdict = await tested(dialog);
  const items = dialog.getByRole("list", { name: "Steps" }).getByRole("listitem");
  const steps = (await items.allInnerTexts()).map((text) => text.replace(/\s*\n\s*/g, ": "));
  return { verdict, steps };
}

/** Creates the vault `production` by the form. */
async function create(tools, { url, port, token }) {
  session = await open(tools, url);
  const { page } = session;
  await page.getByRole("button", { name: "New vault" }).click();
  const form = page.getByRole("dialog", { name: "New vault" });
  const prefix = form.getByLabel("Prefix", { exact: true });
  await focusIs(page, "Prefix");
  await prefix.fill("production");
  await form.getByLabel("Description", { exact: true }).fill("The one that counts");
  await form.getByLabel("Tags", { exact: true }).fill("team-a, pci");
  await form.getByLabel("Backend", { exact: true }).selectOption("hcv");
  await form.getByLabel("host", { exact: true }).fill("127.0.0.1");
  await form.getByLabel("port", { exact: true }).fill(String(port));
  await form.getByLabel("kv", { exact: true }).selectOption("v2");
  const secret = form.getByLabel("token", { exact: true });
  assert.equal(await secret.getAttribute("type"), "password");
  await secret.fill(token);
  await form.getByText("More options").click();
  await form.getByLabel("ttl", { exact: true }).fill("300");
  await form.getByRole("button", { name: "Save" }).click();
  await form.waitFor({ state: "hidden" });
  await vaultRow(page, "production").waitFor();
  await page.getByRole("status").filter({ hasText: "production is created." }).waitFor();
  await focusIs(page, "New vault");
  const row = await vaultRow(page, "production").innerText();
  for (const text of ["The one that counts", "team-a", "pci", "hcv", "not used yet"]) {
    assert.ok(row.includes(text), `${text} in ${row}`);
  }
}

/** Tests it from its row. Returns the result. */
async function test(tools, { secret }) {
  const { page } = session;
  await vaultRow(page, "production").getByRole("button", { name: "Test production" }).click();
  const dialog = page.getByRole("dialog", { name: "Test production" });
  await dialog.getByLabel("Secret to read").fill(secret);
  await dialog.getByRole("button", { name: "Test", exact: true }).click();
  const result = await resultOf(dialog);
  await dialog.getByRole("button", { name: "Close" }).click();
  await dialog.waitFor({ state: "hidden" });
  await focusIs(page, "Test production");
  return result;
}

/** Opens the form for it, sets the port, and tests what stands there before it saves. Returns the result. */
async function edit(tools, { port, token }) {
  const { page } = session;
  await vaultRow(page, "production").getByRole("button", { name: "Edit production" }).click();
  const form = page.getByRole("dialog", { name: "Edit production" });
  const secret = form.getByLabel("token", { exact: true });
  assert.equal(await secret.inputValue(), "", "a secret is not shown");
  assert.ok(await form.getByText("Set. Leave empty to keep it.").isVisible());
  const values = await form.locator("input, textarea").evaluateAll((all) => all.map((one) => one.value).join(" "));
  const inside = values + (await form.innerHTML());
  assert.ok(!inside.includes(token) && !inside.includes("********"), "neither the secret nor its mask is in the form");
  await form.getByLabel("port", { exact: true }).fill(String(port));
  await form.getByRole("button", { name: "Test", exact: true }).click();
  const result = await resultOf(form);
  await form.getByRole("button", { name: "Save" }).click();
  await form.waitFor({ state: "hidden" });
  await page.getByRole("status").filter({ hasText: "production is saved." }).waitFor();
  await focusIs(page, "Edit production");
  return result;
}

/** Refreshes until a reference has this state. Returns its row's texts. */
async function reference(tools, { reference: name, state }) {
  const { page } = session;
  const row = page.getByRole("table", { name: "References" }).getByRole("row")
    .filter({ has: page.getByRole("rowheader").getByText(name, { exact: true }) });
  await until(`${name} is ${state}`, async () => {
    await page.getByRole("button", { name: "Refresh", exact: true }).click();
    return (await row.count()) === 1 && (await row.textContent()).includes(state);
  });
  const cells = await row.getByRole("cell").allTextContents();
  return { cells, vault: await vaultRow(page, "production").innerText() };
}

/** Deletes it: first not, then yes. Returns what the question said. */
async function remove() {
  const { page } = session;
  const button = vaultRow(page, "production").getByRole("button", { name: "Delete production" });
  const dialog = page.getByRole("dialog", { name: "Delete production" });
  await button.click();
  const question = await dialog.innerText();
  await focusIs(page, "Cancel");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "hidden" });
  await focusIs(page, "Delete production");
  await button.click();
  await dialog.getByRole("button", { name: "Delete", exact: true }).click();
  await dialog.waitFor({ state: "hidden" });
  await page.getByRole("status").filter({ hasText: "production is deleted." }).waitFor();
  await vaultRow(page, "production").waitFor({ state: "detached" });
  await focusIs(page, "Vaults");
  return { question };
}

/** What the page did in all that time: whom it asked, and what it kept. */
async function end(tools, { secrets }) {
  const { page, requests } = session;
  session.flawless();
  const kept = [page.url(), ...requests, ...(await keptBy(page))].join(" ");
  for (const secret of secrets) assert.ok(!kept.includes(secret), "no secret is kept");
  await session.close();
  return { requests: requests.length };
}

module.exports = { create, test, edit, reference, remove, end };
