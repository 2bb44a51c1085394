// The question for the token of the Admin API: on the page before anything is shown, and above a dialog if a token ends.

/** What happens with a token that the node accepts; `main.js` sets it. */
let afterLogin = () => {};

/** A form for the token. `done` gets the node's state. */
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
  const error = el("p", { id: `${id}-error`, class: "field-error", role: "alert" });
  const button = el("button", { type: "submit", class: "primary" }, "Continue");

  function showError(text) {
    error.replaceChildren(...(text ? [icon("look"), el("span", {}, ...prose(text))] : []));
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  }

  async function submit(event) {
    event.preventDefault();
    if (isBusy(button)) return;
    const text = input.value.trim();
    if (!canBeToken(text)) {
      showError(text ? "A token is printable ASCII without spaces." : "Enter the token.");
      input.focus();
      return;
    }
    setBusy(button, true);
    setToken(text);
    try {
      const status = await getStatus();
      input.value = "";
      showError("");
      done(status);
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
    el("p", {}, "This node's Admin API asks for a token."),
    el(
      "div",
      { class: "field" },
      el("label", { for: id }, "Token"),
      input,
      error,
      el(
        "p",
        { id: `${id}-help`, class: "help" },
        "One that ",
        el("code", { text: "vault_admin_token" }),
        " or ",
        el("code", { text: "vault_admin_tokens" }),
        " sets. This page keeps it in memory until you close or reload it.",
      ),
    ),
    button,
  );
  return { node, input, showError };
}

/** Asks for the token above an open dialog, which keeps what was typed. Returns what to say in that dialog. */
function askForToken(opener) {
  const dialog = byId("token");
  const login = loginForm("token-again", (status) => {
    closeDialog(dialog);
    afterLogin(status);
  });
  openDialog(dialog, opener, [
    dialogTitle(dialog, "Log in"),
    login.node,
    el("div", { class: "ends" }, el("button", { type: "button", click: () => closeDialog(dialog) }, "Cancel")),
  ]);
  login.input.focus();
  return "log in, then try again";
}
