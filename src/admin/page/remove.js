// The question before an entity is deleted: its name, and what stops working.

/** Opens the question. `inUse` is the number of references in use that it resolves; `removed` hears of the prefix. */
function openRemove(entity, inUse, opener, removed) {
  const dialog = byId("remove");
  const error = el("p", { role: "alert", class: "trouble" });
  const status = el("p", { role: "status", class: "vh" });
  const cancel = el("button", { type: "button", click: () => closeDialog(dialog) }, "Cancel");
  const confirm = el("button", { type: "button", class: "danger filled", click: run }, "Delete");

  async function run() {
    if (isBusy(confirm)) return;
    setBusy(confirm, true);
    error.replaceChildren();
    status.textContent = "Deleting";
    try {
      await deleteEntity(entity.id);
      await removed(entity.prefix);
      // The dialog may ask about another vault by now, if this question was closed meanwhile.
      if (confirm.isConnected) closeDialog(dialog);
      return;
    } catch (failure) {
      if (!confirm.isConnected) return;
      error.append(...prose(failure.message));
      if (failure.status === 401) askForToken(confirm);
    }
    status.textContent = "";
    setBusy(confirm, false);
  }

  openDialog(dialog, opener, [
    dialogTitle(dialog, "Delete ", foreign(entity.prefix), "?"),
    el(
      "p",
      {},
      inUse
        ? `${count(inUse, "reference")} in use ${inUse === 1 ? "begins" : "begin"} with this prefix. ` +
            "Cached values end at once, and resolving returns an error."
        : "No reference in use begins with this prefix.",
    ),
    el("p", { class: "muted", text: "The secrets in the vault itself stay as they are." }),
    error,
    status,
    el("div", { class: "ends" }, cancel, confirm),
  ]);
  cancel.focus();
}
