// A page in a browser context of its own, and what it must not do: ask another origin, complain in its console, violate its
// policy, open a dialog of the browser.
"use strict";

const assert = require("node:assert/strict");

/** How long something may take that is no subject of a test. It ends before the spec that waits for the answer gives up. */
const PATIENCE = 15000;

/** How long `until` lets a page work before it asks again: each question takes the page's time. */
const PAUSE = 20;

/** Asks until the answer is true, and returns it. */
async function until(what, ask) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`it did not come true in time that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
}

/** What a browser writes of an answer that is no success. */
function isOfStatus(text, statuses) {
  return statuses.some((status) => text.includes(`responded with a status of ${status} `));
}

/**
 * Opens an address. `options`: `width`, `height`, `scheme` ("light", "dark"), `answers` (statuses that the page is to meet),
 * `prepare` (gets the page before it goes anywhere).
 */
async function open({ browser }, url, { width = 1280, height = 900, scheme = "light", answers = [], prepare } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    locale: "en-GB",
    timezoneId: "UTC",
    reducedMotion: "reduce",
  });
  context.setDefaultTimeout(PATIENCE);
  const { origin } = new URL(url);
  const flaws = [];
  const requests = [];
  context.on("request", (request) => {
    requests.push(request.url());
    // An address that is all there is to it is asked from nobody.
    if (!request.url().startsWith("data:") && new URL(request.url()).origin !== origin) {
      flaws.push(`asks ${request.url()}`);
    }
  });
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  const page = await context.newPage();
  page.on("console", (message) => {
    const isExpected = isOfStatus(message.text(), answers);
    if (["error", "warning"].includes(message.type()) && !isExpected) flaws.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => flaws.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    flaws.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await prepare?.(page);
  await page.goto(url);
  const session = {
    page,
    context,
    requests,
    /** Asserts that the page did nothing that it must not do. */
    flawless() {
      assert.deepEqual(flaws, []);
    },
    /** An error with what else the page did wrong, which may be why. */
    explained(error) {
      if (flaws.length && !error.message.includes(flaws[0])) error.stack += `\nThe page: ${flaws.join("\n")}`;
      return error;
    },
    async close() {
      // A call of the page may be under way, whose answer a test makes up: nobody waits for it any more.
      await page.unrouteAll({ behavior: "ignoreErrors" });
      await context.close();
    },
  };
  // Without its script, nothing of what a test waits for will come.
  if (flaws.length) {
    await session.close();
    throw new Error(`${url} is broken: ${flaws.join("; ")}`);
  }
  return session;
}

/** Does something with a page, which must do nothing that it must not do, and closes it whatever happens. */
async function withPage(tools, url, options, act) {
  const session = await open(tools, url, options);
  try {
    await session.page.getByRole("heading", { level: 2 }).first().waitFor();
    const result = await act(session.page, session);
    session.flawless();
    return result;
  } catch (error) {
    throw session.explained(error);
  } finally {
    await session.close();
  }
}

/** The row of the table of vaults that begins with this name. */
function vaultRow(page, name) {
  const head = page.getByRole("rowheader").getByText(name, { exact: true });
  return page.getByRole("table", { name: "Vaults" }).getByRole("row").filter({ has: head });
}

/** Waits until a test of a vault has ended, and returns its verdict. */
async function tested(dialog) {
  const verdict = dialog.getByRole("status").filter({ hasText: /^(The test found|The vault works|Not tested)/ });
  await verdict.waitFor();
  return verdict.innerText();
}

/** What has focus: its role or tag, its name as it is read, and whether its focus can be seen. */
function focused(page) {
  return page.evaluate(() => {
    const node = document.activeElement;
    const style = getComputedStyle(node);
    const label = node.labels?.[0]?.textContent ?? node.getAttribute("aria-label") ?? node.textContent;
    return {
      tag: node.tagName.toLowerCase(),
      id: node.id,
      name: label.replace(/\s+/g, " ").trim().slice(0, 120),
      dialog: node.closest("dialog")?.id ?? null,
      isSeen: node.matches(":focus-visible") && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
    };
  });
}

/** Waits until what has this name has focus. */
function focusIs(page, name) {
  return until(`${name} has focus`, async () => (await focused(page)).name === name);
}

/** All that a page has written down: its document, what stands in its fields, and what its browser stores for it. */
async function keptBy(page) {
  const state = JSON.stringify(await page.context().storageState({ indexedDB: true }));
  return page.evaluate((stored) => [
    stored, JSON.stringify(localStorage), JSON.stringify(sessionStorage), JSON.stringify(history.state), document.cookie, name,
    document.documentElement.outerHTML, ...[...document.querySelectorAll("input, textarea")].map((field) => field.value),
  ], state);
}

module.exports = { until, open, withPage, vaultRow, tested, focused, focusIs, keptBy };
