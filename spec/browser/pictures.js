// The pictures in the docs.
"use strict";

const path = require("node:path");

const { withPage, vaultRow, tested } = require("./session.js");

// All rows of a table are drawn where they are seen: on a screen that is high enough for the whole page.
const SCREEN = { width: 1280, height: 2400 };
const MARGIN = 10;

/**
 * Takes them into a folder: the page down to what ends soon; the references, in the dark; the form that edits `vault`; the test of
 * `broken`.
 */
function take(tools, { url, folder, vault, broken, secret }) {
  return withPage(tools, url, SCREEN, async (page) => {
    const file = (name) => path.join(folder, `${name}.png`);
    await vaultRow(page, vault).waitFor();
    const { y, height } = await page.getByRole("region", { name: "Ends soon" }).boundingBox();
    const clip = { x: 0, y: 0, width: SCREEN.width, height: y + height + MARGIN };
    await page.screenshot({ path: file("page-vaults"), clip });
    await page.emulateMedia({ colorScheme: "dark" });
    await page.locator("section", { has: page.getByRole("heading", { name: "References" }) })
      .screenshot({ path: file("page-references") });
    await page.emulateMedia({ colorScheme: "light" });

    await page.setViewportSize({ width: SCREEN.width, height: 1100 });
    await vaultRow(page, vault).getByRole("button", { name: `Edit ${vault}` }).click();
    const form = page.getByRole("dialog", { name: `Edit ${vault}` });
    await form.getByLabel("Description", { exact: true }).click();
    await form.screenshot({ path: file("page-form") });
    await page.keyboard.press("Escape");

    await vaultRow(page, broken).getByRole("button", { name: `Test ${broken}` }).click();
    const check = page.getByRole("dialog", { name: `Test ${broken}` });
    await check.getByLabel("Secret to read").fill(secret);
    await check.getByRole("button", { name: "Test", exact: true }).click();
    await tested(check);
    await check.screenshot({ path: file("page-test") });
  });
}

module.exports = { take };
