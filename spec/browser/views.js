// Every view of the page, looked at by axe: in light and dark, on a wide and on a narrow screen.
"use strict";

const assert = require("node:assert/strict");

const { open, vaultRow, tested } = require("./session.js");

const NARROW = 320;
const SIZES = [[1280, 900], [NARROW, 640]];
const SCHEMES = [["light", "all"], ["dark", "colours"]];

// Off by default as it is new: targets of a size that fingers hit (WCAG 2.2, 2.5.8).
const ALL_RULES = { rules: { "target-size": { enabled: true } } };

// The two schemes differ in colours alone, so the second one is judged by what looks at colours: it is the slow part.
const COLOUR_RULES = { runOnly: ["color-contrast", "link-in-text-block"] };

async function openForm(page) {
  await page.getByRole("button", { name: "New vault" }).click();
  const form = page.getByRole("dialog", { name: "New vault" });
  await form.getByRole("button", { name: "Save" }).waitFor();
  return form;
}

async function openTest(page, name, secret) {
  await vaultRow(page, name).getByRole("button", { name: `Test ${name}` }).click();
  const dialog = page.getByRole("dialog", { name: `Test ${name}` });
  await dialog.getByLabel("Secret to read").fill(secret);
  await dialog.getByRole("button", { name: "Test", exact: true }).click();
  await tested(dialog);
}

/** How to get to each view. */
const VIEWS = {
  async list(page, { vault }) {
    await vaultRow(page, vault).waitFor();
    await page.getByRole("table", { name: "References" }).waitFor();
  },
  async empty(page) {
    await page.getByText("No vault is set up.").waitFor();
    await page.getByText("No reference is in use yet.").waitFor();
  },
  // With every group of options open.
  async options(page) {
    const form = await openForm(page);
    await form.getByText("More options").click();
  },
  async errors(page) {
    const form = await openForm(page);
    await form.getByLabel("host", { exact: true }).fill("http://vault.example/path");
    await form.getByRole("button", { name: "Save" }).click();
    await form.getByRole("alert").filter({ hasText: "Not saved" }).waitFor();
  },
  async edit(page, { vault }) {
    await vaultRow(page, vault).getByRole("button", { name: `Edit ${vault}` }).click();
    await page.getByText("Set. Leave empty to keep it.").waitFor();
  },
  works: (page, { vault, secret }) => openTest(page, vault, secret),
  fails: (page, { broken, secret }) => openTest(page, broken, secret),
  async remove(page, { vault }) {
    await vaultRow(page, vault).getByRole("button", { name: `Delete ${vault}` }).click();
    await page.getByRole("dialog", { name: `Delete ${vault}` }).waitFor();
  },
  async token(page) {
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByText("Enter the token.").waitFor();
  },
  // As after a change of the node's configuration.
  async refused(page) {
    const answer = { status: 503, json: { message: "vault_admin_token is empty: set it" } };
    await page.route("**/vaults/_status", (route) => route.fulfill(answer));
    await page.reload();
    await page.getByRole("button", { name: "Try again" }).waitFor();
  },
  async "no forms"(page) {
    await page.getByText("Vault entities cannot be shown or changed here").waitFor();
    assert.ok(await page.getByRole("button", { name: "New vault" }).isHidden());
  },
};

/** Goes back from a view to the page itself. */
async function leave(page, view) {
  if (view === "refused") {
    await page.unroute("**/vaults/_status");
    await page.reload();
  }
  // Each closes the uppermost dialog of those that lie above each other.
  const dialogs = page.locator("dialog[open]");
  for (let left = await dialogs.count(); left; left -= 1) await page.keyboard.press("Escape");
  assert.equal(await dialogs.count(), 0, `Escape closes what ${view} opened`);
}

/** What axe says of what is shown now: each violation with the elements. */
async function judge(page, rules) {
  // Rows of a long table are drawn where they are seen.
  await page.evaluate(() => document.querySelector("#references tbody tr")?.scrollIntoView({ block: "center" }));
  // What lies behind a dialog is a view of its own.
  const { violations, passes } = await page.evaluate(
    (chosen) => window.axe.run(document.querySelector("dialog[open]") ?? document, { ...chosen, elementRef: false, resultTypes: ["violations"] }), rules);
  assert.ok(passes.length > 0, "axe looked at something");
  return violations.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join("; ")}`);
}

/** Pages by address: axe is slow where it is new. */
const sessions = new Map();

async function sessionAt(tools, url, answers) {
  if (!sessions.has(url)) sessions.set(url, await open(tools, url, { answers }));
  return sessions.get(url);
}

/** Goes to a view, and has it judged in all sizes and schemes. */
async function check(tools, { url, view, answers, ...names }) {
  const session = await sessionAt(tools, url, answers);
  const { page } = session;
  await page.setViewportSize({ width: SIZES[0][0], height: SIZES[0][1] });
  await VIEWS[view](page, names);
  // Not by a tag in the page, which its policy would refuse.
  if (await page.evaluate(() => !window.axe)) await page.evaluate(tools.axe);
  const found = [];
  for (const [width, height] of SIZES) {
    await page.setViewportSize({ width, height });
    for (const [colorScheme, rules] of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      const faults = await judge(page, rules === "all" ? ALL_RULES : COLOUR_RULES);
      found.push(...faults.map((one) => `${width} px, ${colorScheme}: ${one}`));
    }
    // Content fits: nobody scrolls in two directions (WCAG 2.1, 1.4.10).
    const more = await page.locator("html, dialog[open]")
      .evaluateAll((all) => all.map((one) => one.scrollWidth - one.clientWidth));
    if (Math.max(...more) > 0) found.push(`${width} px: ${more} px too wide`);
  }
  await leave(page, view);
  assert.deepEqual(found, []);
  session.flawless();
}

/** Closes the pages. */
async function end() {
  for (const session of sessions.values()) await session.close();
  sessions.clear();
}

module.exports = { check, end };
