// The question for the token of the Admin API: on the page before anything is shown, and above a dialog if a token ends.

/** What happens once the node has accepted a token; `main.js` sets it. */
let afterLogin = () => {};

/** A form for the token. `done` is called once the node accepts it. */
function loginForm(id, done) {
  const input = el("input", {
    type: "password",
    id,
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    "aria-describedby": `${id}-help ${id}-error`,
    "aria-required": "true",
  });
  const { node: error, showError } = errorPlace(input, { role: "alert" });
  const button = el("button", { type: "submit", class: "primary" }, "Continue");

  async function submit(event) {
    event.preventDefault();
    if (isBusy(button)) return;
    const text = input.value.trim();
    if (!canBeToken(text)) {
      showError(text ? "A token has no spaces and no special letters such as é. Copy it again." : "Enter the token.");
      input.focus();
      return;
    }
    setBusy(button, true);
    setToken(text);
    try {
      await getStatus();
      input.value = "";
      showError("");
      done();
    } catch (failure) {
      const isWrong = failure.status === 401;
      if (isWrong) setToken("");
      showError(isWrong ? "The node does not accept this token." : failure.message);
      input.focus();
    }
    setBusy(button, false);
  }

  const node = el(
    "form",
    { novalidate: true, submit, autocomplete: "off" },
    el("p", {}, "To see and change this node's vaults, enter a token of its Admin API."),
    el(
      "div",
      { class: "field" },
      el("label", { for: id }, "Token"),
      input,
      error,
      el(
        "p",
        { id: `${id}-help`, class: "help" },
        "It is what ",
        el("code", { text: "vault_admin_token" }),
        " or ",
        el("code", { text: "vault_admin_tokens" }),
        " is set to in the node's configuration. The page forgets it when you close or reload it.",
      ),
    ),
    button,
  );
  return { node, input, showError };
}

/** Asks for the token above an open dialog, which keeps what was typed. Returns what to say in that dialog. */
function askForToken(opener) {
  const dialog = byId("token");
  const login = loginForm("token-again", () => {
    closeDialog(dialog);
    afterLogin();
  });
  openDialog(dialog, opener, [
    dialogTitle(dialog, "Log in"),
    login.node,
    el("div", { class: "ends" }, el("button", { type: "button", click: () => closeDialog(dialog) }, "Cancel")),
  ]);
  login.input.focus();
  return "log in, then try again";
}
