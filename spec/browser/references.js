// Many references: they are all there, and to look for one takes no time that is felt.
"use strict";

const assert = require("node:assert/strict");

const { withPage, until } = require("./session.js");

/** Has each input timed until its frame is drawn. Runs in the browser. */
function timeInputs() {
  window.taken = [];
  addEventListener("input", () => {
    const start = performance.now();
    requestAnimationFrame(() => setTimeout(() => window.taken.push(performance.now() - start)));
  }, true);
}

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** Filters and sorts. Returns milliseconds: the median and the longest, from an input to the drawn frame. */
function many(tools, { url, number, needle }) {
  return withPage(tools, url, {}, async (page) => {
    const table = page.getByRole("table", { name: "References" });
    await table.waitFor();
    const rows = table.locator("tbody tr");
    assert.equal(await rows.count(), number);
    const seen = () => rows.evaluateAll((all) => all.filter((row) => row.getClientRects().length > 0).length);
    assert.equal(await seen(), number);

    await page.evaluate(timeInputs);
    const filter = page.getByLabel("Filter", { exact: true });
    await filter.focus();
    // Their times are all that is asked for meanwhile: to look at the rows would take part of them.
    const isDrawn = (inputs) => page.evaluate((all) => window.taken.length === all, inputs);
    const drawn = (inputs) => until(`${inputs} inputs are drawn`, () => isDrawn(inputs));
    await page.keyboard.type(needle);
    await drawn(needle.length);
    assert.equal(await seen(), 1);
    for (let left = needle.length; left; left -= 1) await page.keyboard.press("Backspace");
    await drawn(2 * needle.length);
    assert.equal(await seen(), number);
    const taken = await page.evaluate(() => window.taken);

    await filter.fill("no such reference");
    await page.getByText("No reference matches the filter.").waitFor();
    await filter.fill("");

    const first = () => rows.first().getByRole("rowheader").innerText();
    const sort = page.getByRole("columnheader", { name: "Reference", exact: true });
    await sort.getByRole("button").click();
    assert.equal(await sort.getAttribute("aria-sort"), "ascending");
    const lowest = await first();
    await sort.getByRole("button").click();
    assert.equal(await sort.getAttribute("aria-sort"), "descending");
    assert.ok((await first()) > lowest);
    return { median: Math.round(median(taken)), longest: Math.round(Math.max(...taken)) };
  });
}

module.exports = { many };
