// The page of an API that has a token.
"use strict";

const assert = require("node:assert/strict");

const { withPage, vaultRow, focusIs, keptBy } = require("./session.js");

/** Asks for the token until it is right, forgets it, and asks again. */
function ask(tools, { url, token, vault }) {
  return withPage(tools, url, { answers: [401] }, async (page, session) => {
    const field = page.getByLabel("Token", { exact: true });
    const enter = page.getByRole("button", { name: "Continue" });
    const forget = page.getByRole("button", { name: "Forget token" });
    await field.waitFor();
    // Each call that is refused is a line in the audit log, so one is all that it takes to know.
    assert.deepEqual(session.requests.filter((asked) => !asked.startsWith("data:")), [url, `${url}/_status`]);
    assert.ok(await forget.isHidden());
    assert.equal(await page.getByRole("table").count(), 0, "nothing is shown before");
    assert.equal(await field.getAttribute("type"), "password");

    await enter.click();
    await page.getByText("Enter the token.").waitFor();
    await field.fill("wr0ng-token");
    await enter.click();
    await page.getByText("The node does not accept this token.").waitFor();
    await focusIs(page, "Token");
    assert.equal(await page.getByRole("table").count(), 0);

    await field.fill(token);
    await page.keyboard.press("Enter");
    await vaultRow(page, vault).waitFor();
    assert.equal(await field.isVisible(), false);
    await page.getByRole("button", { name: "Refresh", exact: true }).click();
    await vaultRow(page, vault).waitFor();

    const kept = [page.url(), ...session.requests, ...(await keptBy(page))].join(" ");
    assert.ok(!kept.includes(token), "the token is in no address, storage, cookie or field");

    await forget.click();
    await field.waitFor();
    assert.equal(await field.inputValue(), "");
    await focusIs(page, "Token");
    assert.equal(await page.getByRole("table").count(), 0, "what was shown is gone");
    assert.ok(!(await page.content()).includes(`>${vault}<`), "from the document as well");

    await field.fill(token);
    await enter.click();
    await vaultRow(page, vault).waitFor();
    // A page that is loaded anew has forgotten it.
    await page.reload();
    await field.waitFor();
    assert.equal(await page.getByRole("table").count(), 0);
  });
}

module.exports = { ask };
