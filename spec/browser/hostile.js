// Names, descriptions, errors and answers with markup in them: they are shown as texts, and nothing of them runs.
"use strict";

const assert = require("node:assert/strict");

const { withPage, vaultRow, tested } = require("./session.js");

const MARKUP = [
  '"><svg onload=hacked=1></svg>', '<img src=x onerror="hacked=2">', "<script>hacked=3</script>",
  '<a href="javascript:hacked=4">x</a>',
].join("");

/** What the page has none of: its symbols are drawn as paths. */
const FOREIGN = [
  "img", "iframe", "object", "embed", "base", "svg:not([aria-hidden])", "[onload]", "[onerror]", "a[href^='javascript']",
].join(",");

/** Nothing came of a text but the text: the page has the one script and the one style that it came with. */
async function assertHarmless(page) {
  const found = await page.evaluate((foreign) => ({
    hasRun: "hacked" in window,
    scripts: document.scripts.length,
    styles: document.querySelectorAll("style").length,
    others: document.querySelectorAll(foreign).length,
  }), FOREIGN);
  assert.deepEqual(found, { hasRun: false, scripts: 1, styles: 1, others: 0 });
}

/**
 * Shows, edits, tests and asks about the vault `marked`, in which these texts stand, and looks at a reference in use and at a
 * vault's error.
 */
function stored(tools, { url, texts, option, reference, error }) {
  return withPage(tools, url, { answers: [400] }, async (page) => {
    const row = vaultRow(page, "marked");
    const shown = await row.innerText();
    for (const text of texts) assert.ok(shown.includes(text), `${text} in ${shown}`);
    const table = await page.getByRole("table", { name: "References" }).textContent();
    assert.ok(table.includes(reference), `${reference} in ${table}`);
    const vaults = await page.getByRole("table", { name: "Vaults" }).innerText();
    assert.ok(vaults.includes(error), `${error} in ${vaults}`);
    await assertHarmless(page);

    await row.getByRole("button", { name: "Edit marked" }).click();
    const form = page.getByRole("dialog", { name: "Edit marked" });
    assert.equal(await form.getByLabel("Description", { exact: true }).inputValue(), texts[0]);
    assert.equal(await form.getByLabel(option.name, { exact: true }).inputValue(), option.value);
    // Into the errors as well.
    await form.getByLabel("host", { exact: true }).fill(MARKUP);
    await form.getByRole("button", { name: "Save" }).click();
    await form.getByRole("alert").filter({ hasText: "Not saved" }).waitFor();
    await assertHarmless(page);
    await form.getByRole("button", { name: "Cancel" }).click();
    await form.waitFor({ state: "hidden" });

    await row.getByRole("button", { name: "Test marked" }).click();
    const check = page.getByRole("dialog", { name: "Test marked" });
    await check.getByLabel("Secret to read").fill(`${MARKUP}/x`);
    await check.getByRole("button", { name: "Test", exact: true }).click();
    await tested(check);
    await assertHarmless(page);
    await check.getByRole("button", { name: "Close" }).click();

    await row.getByRole("button", { name: "Delete marked" }).click();
    await page.getByRole("dialog", { name: "Delete marked" }).getByRole("button", { name: "Cancel" }).click();
    await assertHarmless(page);
  });
}

/** Puts markup into every text in a value of JSON but those that are kept, and an error where there is none. */
function marked(value, kept) {
  if (typeof value === "string") return kept.includes(value) ? value : `${value} ${MARKUP}`;
  if (Array.isArray(value)) return value.map((item) => marked(item, kept));
  if (value === null || typeof value !== "object") return value;
  const failed = "error" in value ? { error: "any", reason: "any", last_failure: 4e9 } : {};
  return Object.fromEntries(Object.entries({ ...value, ...failed }).map(([key, item]) => [key, marked(item, kept)]));
}

/** What a server may answer to a test. */
const REFUSAL = { message: "schema violation", fields: { "@entity": ["flaw"] } };
const RESULT = {
  backend: "env",
  vault: "env",
  steps: [{ step: "login", severity: "error", message: "refused" }],
  summary: { ok: 0, warnings: 0, errors: 1 },
};

/** The answers of a server that is not to be trusted: markup in each of their texts. */
function answers(tools, { url }) {
  const types = ["text", "boolean", "integer", "seconds", "list"];
  const prepare = async (page) => {
    const answer = (pattern, kept) => page.route(pattern, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: marked(await response.json(), kept) });
    });
    await answer("**/vaults/_status", []);
    await answer("**/vaults/_options", types);
    await answer(/\/vaults\?size/, []);
    await page.route("**/vaults/_check", (route) => route.fulfill(checks.shift()));
  };
  // The names in the page are none that the server has, so it would test nothing.
  const checks = [{ status: 400, json: marked(REFUSAL, []) }, { json: marked(RESULT, []) }];
  return withPage(tools, url, { answers: [400], prepare }, async (page) => {
    const vaults = page.getByRole("table", { name: "Vaults" });
    await vaults.waitFor();
    assert.ok((await vaults.innerText()).includes(MARKUP));
    await assertHarmless(page);
    const dialog = page.locator("dialog[open]");
    await vaults.getByRole("button", { name: /^Test/ }).first().click();
    await dialog.getByRole("button", { name: "Test", exact: true }).click();
    assert.ok((await tested(dialog)).includes(MARKUP));
    await assertHarmless(page);
    await dialog.getByRole("button", { name: "Test", exact: true }).click();
    const step = dialog.getByRole("list", { name: "Steps" }).getByRole("listitem");
    for (const text of Object.values(marked(RESULT.steps[0], []))) await step.filter({ hasText: text }).waitFor();
    await assertHarmless(page);
    await page.keyboard.press("Escape");
    await vaults.getByRole("button", { name: /^Edit/ }).first().click();
    await dialog.getByRole("button", { name: "Save" }).waitFor();
    await assertHarmless(page);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "New vault" }).click();
    const backend = dialog.getByLabel("Backend", { exact: true });
    const backends = await backend.locator("option").evaluateAll((all) => all.map((one) => one.value));
    for (const one of backends) await backend.selectOption(one);
    await assertHarmless(page);
    return { backends: backends.length };
  });
}

/** A name that turns the direction of what follows, or draws nothing, is shown as what it is. */
function directions(tools, { url, text, shown }) {
  return withPage(tools, url, {}, async (page) => {
    const row = await vaultRow(page, "marked").innerText();
    assert.ok(row.includes(shown), `${shown} in ${row}`);
    const whole = await page.evaluate(() => document.body.innerText);
    for (const character of text) {
      const isSeen = shown.includes(character);
      assert.ok(isSeen || !whole.includes(character), `U+${character.codePointAt(0).toString(16)} stands in the page`);
    }
  });
}

module.exports = { stored, answers, directions };
