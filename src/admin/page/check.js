// Tests of a vault, step by step, as `kong-vault doctor` does them: of one that is there, or of one as a form has it.

/** What is under way in each dialog; closing the dialog ends it. */
const checksUnderWay = new Map();

function stopCheck(dialog) {
  checksUnderWay.get(dialog)?.abort();
  checksUnderWay.delete(dialog);
}

/**
 * A field for a secret to read, the button "Test" and the steps. `subject` returns what to send beside the secret, or
 * null where it can't be sent; `failed` hears of an error first, and returns what to say instead of it, if anything.
 */
function checkPanel(dialog, subject, failed) {
  const id = `${dialog.id}-secret`;
  const secret = el("input", {
    type: "text",
    id,
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    "aria-describedby": `${id}-help`,
  });
  const button = el("button", { type: "button", class: "primary", click: run }, "Test");
  const status = el("p", { role: "status", class: "check-status" });
  const steps = el("ol", { class: "steps", hidden: true, "aria-label": "Steps" });
  let isUntested = false;
  // In a form, Enter would save it.
  secret.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    run();
  });

  async function run() {
    if (isBusy(button)) return;
    const what = subject();
    if (!what) return;
    const stop = new AbortController();
    checksUnderWay.set(dialog, stop);
    isUntested = false;
    setBusy(button, true);
    steps.hidden = true;
    status.className = "check-status";
    status.textContent = "Testing. This may take up to 30 seconds.";
    try {
      show(await checkVault({ ...what, secret: secret.value.trim() || null }, stop.signal));
    } catch (error) {
      if (stop.signal.aborted) return;
      status.replaceChildren("Not tested: ", ...prose(failed(error) || error.message));
      status.className = "check-status bad";
      isUntested = true;
    }
    setBusy(button, false);
  }

  /** Takes back why there was no test. What a test found stays. */
  function forgetRefusal() {
    if (!isUntested) return;
    isUntested = false;
    status.className = "check-status";
    status.textContent = "";
  }

  function show(result) {
    const { ok, warnings, errors } = result.summary;
    steps.replaceChildren(...result.steps.map(stepItem));
    steps.hidden = result.steps.length === 0;
    const parts = [
      `${numbers.format(ok)} ok`,
      warnings && `${numbers.format(warnings)} to look at`,
      errors && `${numbers.format(errors)} wrong`,
    ];
    const verdict = errors
      ? "The test found an error"
      : warnings
        ? "The vault works; look at the marked steps"
        : "The vault works";
    status.textContent = `${verdict}: ${parts.filter(Boolean).join(", ")}.`;
    status.className = `check-status ${errors ? "bad" : warnings ? "warn" : "good"}`;
  }

  const node = el(
    "div",
    { class: "check" },
    el(
      "div",
      { class: "check-ask" },
      el("p", { class: "field" }, el("label", { for: id }, "Secret to read"), secret),
      button,
    ),
    el(
      "p",
      { id: `${id}-help`, class: "help" },
      "Optional: the secret's name, as in a reference after the vault, such as ",
      el("code", { text: "db/password" }),
      ". Its value is not shown.",
    ),
    status,
    steps,
  );
  return { node, secret, button, forgetRefusal };
}

function stepItem(step) {
  return el(
    "li",
    {},
    stateBadge(SEVERITIES, step.severity),
    el("div", {}, el("strong", { class: "step" }, foreign(step.step)), el("p", {}, ...prose(step.message))),
  );
}

/** Opens the dialog that tests a vault which is there. */
function openCheck(vault, opener) {
  const dialog = byId("check");
  const panel = checkPanel(
    dialog,
    () => ({ vault: vault.name }),
    (error) => error.status === 401 && askForToken(panel.button),
  );
  openDialog(dialog, opener, [
    dialogTitle(dialog, "Test ", foreign(vault.name)),
    el("p", { class: "muted" }, "This node goes to the vault, step by step, and says which step fails and what to do."),
    panel.node,
    el("div", { class: "ends" }, el("button", { type: "button", click: () => closeDialog(dialog) }, "Close")),
  ]);
  panel.secret.focus();
}
