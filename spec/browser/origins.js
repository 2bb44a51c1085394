// Pages of other origins that want to use the API through a visitor's browser.
"use strict";

const assert = require("node:assert/strict");
const http = require("node:http");

const { until, withPage, vaultRow } = require("./session.js");

/** Serves an empty page, without any policy, to do evil from. */
async function elsewhere(act) {
  const server = http.createServer((request, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end("<!doctype html><title>elsewhere</title><body>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await act(server.address().port);
  } finally {
    server.closeAllConnections?.();
    server.close();
  }
}

/** What a page tries by script. Returns what it could read, which has to be nothing. Runs in the browser. */
async function tryAll({ target, id }) {
  const read = [];
  const paths = ["/vaults", `/vaults/${id}`, "/vaults/_status", "/vaults/_options", "/vaults/_check"];
  const entity = { name: "env", prefix: "evil", config: {} };
  const bodies = [
    ["application/x-www-form-urlencoded", "name=env&prefix=evil"],
    ["text/plain", JSON.stringify(entity)],
    ["application/json", JSON.stringify(entity)],
  ];
  const attempts = [];
  for (const path of paths) {
    for (const mode of ["cors", "no-cors"]) {
      for (const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]) {
        const hasBody = ["POST", "PUT", "PATCH"].includes(method);
        for (const [type, body] of hasBody ? bodies : [[null, undefined]]) {
          const headers = { Accept: "text/html", ...(type ? { "Content-Type": type } : {}) };
          attempts.push((async () => {
            const answer = await fetch(target + path, { method, mode, headers, body, credentials: "include" });
            const text = await answer.text();
            if (answer.type !== "opaque" || text) read.push(`${method} ${path} ${mode}: ${answer.status} ${text}`);
          })().catch(() => null));
        }
      }
    }
  }
  await Promise.all(attempts);
  navigator.sendBeacon(`${target}/vaults`, new URLSearchParams({ name: "env", prefix: "evil" }));

  const loads = [];
  const load = (tag, attributes) => {
    const node = Object.assign(document.createElement(tag), attributes);
    loads.push(new Promise((resolve) => { node.onload = node.onerror = resolve; }));
    document.body.append(node);
    return node;
  };
  load("script", { src: `${target}/vaults` });
  load("script", { src: `${target}/vaults/_status` });
  const image = load("img", { src: `${target}/vaults` });
  load("link", { rel: "stylesheet", href: `${target}/vaults` });
  load("object", { data: `${target}/vaults`, type: "text/html" });
  load("iframe", { src: `${target}/vaults`, name: "framed" });
  await Promise.all(loads);
  if (image.naturalWidth) read.push("an image");
  for (const enctype of ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]) {
    const form = Object.assign(document.createElement("form"), { method: "post", action: `${target}/vaults`, enctype });
    const frame = Object.assign(document.createElement("iframe"), { name: enctype });
    form.target = enctype;
    for (const [name, value] of [["name", "env"], ["prefix", "evil"]]) {
      form.append(Object.assign(document.createElement("input"), { name, value }));
    }
    document.body.append(form, frame);
    const done = new Promise((resolve) => { frame.onload = resolve; });
    form.submit();
    await done;
  }
  for (let at = 0; at < frames.length; at += 1) {
    try {
      const text = frames[at].document.body?.innerText;
      if (text) read.push(`a frame: ${text}`);
    } catch {
      // It is of another origin, as it should be.
    }
  }
  return read;
}

/** Tries everything from a page at another origin. Returns what its frames show, and what it could read. */
function attack({ browser }, { host, target, id }) {
  return elsewhere(async (port) => {
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(`http://${host}:${port}/`);
      const read = await page.evaluate(tryAll, { target, id });
      const framed = [];
      for (const frame of page.frames()) {
        if (frame === page.mainFrame()) continue;
        framed.push(await frame.evaluate(() => document.body?.innerText ?? "").catch(() => ""));
      }
      const opened = await open(context, page, target);
      const posted = await post(context, page, target);
      return { read, framed, opened, posted };
    } finally {
      await context.close();
    }
  });
}

/** Opens the page in a window, and tries to reach into it. Returns what the opener has of it. */
async function open(context, page, target) {
  const appears = context.waitForEvent("page");
  await page.evaluate((address) => { window.opened = window.open(`${address}/vaults`); }, target);
  const other = await appears;
  await other.getByRole("heading", { name: "Vaults", exact: true }).waitFor();
  const reached = await page.evaluate(() => {
    try {
      return window.opened.document.body.innerText;
    } catch (error) {
      return error.name;
    }
  });
  const isCut = await page.evaluate(() => window.opened.closed);
  const opener = await other.evaluate(() => window.opener === null);
  await other.close();
  return { reached, isCut, hasNoOpener: opener };
}

/** Sends a form to the API as a whole window, as a click on a button does. Returns what is shown. */
async function post(context, page, target) {
  const appears = context.waitForEvent("page");
  await page.evaluate((address) => {
    const form = Object.assign(document.createElement("form"), { method: "post", action: `${address}/vaults`, target: "_blank" });
    for (const [name, value] of [["name", "env"], ["prefix", "evil"]]) {
      form.append(Object.assign(document.createElement("input"), { name, value }));
    }
    document.body.append(form);
    form.submit();
  }, target);
  const other = await appears;
  const text = await until("the form is answered", () => other.evaluate(() => document.body?.innerText).catch(() => ""));
  await other.close();
  return text;
}

/** Opens the page by an address whose path begins with two slashes, as a link elsewhere may have it: it asks its own origin. */
function slashes(tools, { url, vault }) {
  const { origin, pathname } = new URL(url);
  return withPage(tools, `${origin}/${pathname}`, {}, (page) => vaultRow(page, vault).waitFor());
}

/** Opens an address, and returns the status, and what is shown. */
async function visit({ browser }, { url }) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const answer = await page.goto(url);
    return { status: answer.status(), text: await page.evaluate(() => document.body.innerText) };
  } finally {
    await context.close();
  }
}

/** What a frame with this address shows in a page of another origin. */
function frame({ browser }, { url }) {
  return elsewhere(async (port) => {
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      const refusals = [];
      page.on("console", (message) => refusals.push(message.text()));
      await page.goto(`http://localhost:${port}/`);
      await page.evaluate((src) => new Promise((resolve) => {
        const node = Object.assign(document.createElement("iframe"), { src, onload: resolve });
        document.body.append(node);
      }), url);
      const [, inner] = page.frames();
      assert.ok(inner, "there is a frame");
      const text = await inner.evaluate(() => document.body?.innerText ?? "").catch(() => "");
      return { text, refusals };
    } finally {
      await context.close();
    }
  });
}

module.exports = { attack, slashes, visit, frame };
