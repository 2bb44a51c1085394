// Work without a mouse: Tab, Enter, Space, Escape and arrow keys reach everything, and focus can always be seen.
"use strict";

const assert = require("node:assert/strict");

const { withPage, vaultRow, tested, focused, focusIs } = require("./session.js");

/** More than any view has stops. */
const STOPS = 200;

/** Goes on with a key until something with this name has focus. Each stop on the way must be seen, and be in `dialog`. */
async function goTo(page, name, { key = "Tab", dialog = null } = {}) {
  const passed = [];
  for (let stop = 0; stop < STOPS; stop += 1) {
    await page.keyboard.press(key);
    const at = await focused(page);
    passed.push(at.name);
    // Between the last stop and the first there is the browser itself.
    if (at.tag === "body" || at.tag === "html") continue;
    assert.equal(at.dialog, dialog, `${at.name} is reached from outside of its dialog`);
    assert.ok(at.isSeen, `focus is not seen at ${JSON.stringify(at)}`);
    if (at.name === name) return at;
  }
  throw new Error(`${key} does not lead to ${name}: ${passed.join(", ")}`);
}

/** Closes the dialog and opens it anew before the event of its closing comes, as quick keys do. Returns after that event. */
function reopen(page, opener) {
  return page.evaluate((id) => new Promise((resolve) => {
    const dialog = document.querySelector("dialog[open]");
    dialog.addEventListener("close", () => resolve(), { once: true });
    dialog.close();
    document.getElementById(id).click();
  }), opener);
}

/** Creates an `env` vault, tests it, and deletes it. */
function walk(tools, { url }) {
  return withPage(tools, url, {}, async (page) => {
    const { keyboard } = page;
    const dialogIs = async (name, state = "visible") => page.getByRole("dialog", { name }).waitFor({ state });

    await keyboard.press("Tab");
    await focusIs(page, "Skip to content");
    await goTo(page, "New vault");
    await keyboard.press("Enter");
    await dialogIs("New vault");
    // Escape leaves all as it was.
    await keyboard.press("Escape");
    await dialogIs("New vault", "hidden");
    await focusIs(page, "New vault");

    await keyboard.press("Space");
    await dialogIs("New vault");
    await reopen(page, "new-vault");
    await dialogIs("New vault");
    await focusIs(page, "Prefix");
    await keyboard.type("by-keyboard");
    await goTo(page, "Backend", { dialog: "form" });
    // A list answers to the beginning of a name.
    const backend = page.getByRole("dialog").getByLabel("Backend", { exact: true });
    for (let step = 0; step < 20 && (await backend.inputValue()) !== "env"; step += 1) {
      await keyboard.press(step < 10 ? "ArrowUp" : "ArrowDown");
    }
    assert.equal(await backend.inputValue(), "env");
    await goTo(page, "prefix", { dialog: "form" });
    await keyboard.type("KEYBOARD_");
    await goTo(page, "Description", { key: "Shift+Tab", dialog: "form" });
    await keyboard.type("Made by keys");
    // All the way round, focus stays in the dialog.
    await goTo(page, "Cancel", { dialog: "form" });
    await goTo(page, "Prefix", { dialog: "form" });
    // Enter in a field saves.
    await keyboard.press("Enter");
    await dialogIs("New vault", "hidden");
    await vaultRow(page, "by-keyboard").waitFor();

    await goTo(page, "Test by-keyboard");
    await keyboard.press("Enter");
    await dialogIs("Test by-keyboard");
    await keyboard.type("name");
    await keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "Test by-keyboard" });
    assert.match(await tested(dialog), /^The vault works/);
    await goTo(page, "Close", { dialog: "check" });
    await keyboard.press("Enter");
    await focusIs(page, "Test by-keyboard");

    await goTo(page, "Delete by-keyboard");
    await keyboard.press("Space");
    await dialogIs("Delete by-keyboard");
    await keyboard.press("Escape");
    await dialogIs("Delete by-keyboard", "hidden");
    await focusIs(page, "Delete by-keyboard");
    await keyboard.press("Enter");
    await dialogIs("Delete by-keyboard");
    await goTo(page, "Delete", { dialog: "remove" });
    await keyboard.press("Enter");
    await dialogIs("Delete by-keyboard", "hidden");
    assert.equal(await vaultRow(page, "by-keyboard").count(), 0);
    // And from there on.
    await focusIs(page, "Vaults");
    await goTo(page, "Refresh");
  });
}

module.exports = { walk };
