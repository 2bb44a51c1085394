// Modal dialogs: where focus goes when they open and close.

/** What opened each dialog, and where focus goes if that is there no more. */
const openers = new Map();

/** What ends what is under way in each dialog. */
const enders = new Map();

function openDialog(dialog, opener, content) {
  enders.get(dialog)?.();
  openers.set(dialog, opener);
  // What was said before is over.
  setText(byId("message"), "");
  dialog.replaceChildren(...content);
  dialog.scrollTop = 0;
  if (!dialog.open) dialog.showModal();
}

/** Closes a dialog; `closed` follows, as after Escape. */
function closeDialog(dialog) {
  if (dialog.open) dialog.close();
}

/** Has focus return to what opened the dialog. `onClose` ends what is under way in it. */
function startDialog(dialog, onClose) {
  enders.set(dialog, onClose);
  dialog.addEventListener("close", () => {
    // The event comes after the closing: whoever is quick has opened the dialog anew, with nothing in it of what was closed.
    if (dialog.open) return;
    const opener = openers.get(dialog);
    openers.delete(dialog);
    // What was typed, secrets among it, is not kept.
    dialog.replaceChildren();
    onClose();
    // The browser has returned it already, and somebody may have moved on since.
    const active = document.activeElement;
    if (active && active !== document.body && !dialog.contains(active)) return;
    const there = opener?.isConnected && opener.getClientRects().length > 0;
    (there ? opener : byId("vaults-title")).focus();
  });
}

/** The head of a dialog. */
function dialogTitle(dialog, ...children) {
  return el("h2", { id: `${dialog.id}-title`, tabindex: "-1" }, ...children);
}
