// What a state means, and what to do about it.

const HEALTH = {
  ok: ["ok", "ok", "good"],
  failing: ["failing", "look", "warn"],
  open: ["breaker open", "wrong", "bad"],
  half_open: ["being probed", "probe", "warn"],
  unused: ["not used yet", "none", "calm"],
  flawed: ["flawed", "wrong", "bad"],
};

const STATES = {
  fresh: ["fresh", "ok", "good"],
  stale: ["stale", "clock", "warn"],
  failing: ["failing", "look", "warn"],
  open: ["breaker open", "wrong", "bad"],
};

/** The worse, the later: for sorting. */
const STATE_ORDER = Object.keys(STATES);

const SEVERITIES = {
  ok: ["ok", "ok", "good"],
  warning: ["look at", "look", "warn"],
  error: ["wrong", "wrong", "bad"],
};

/** The badge of a state; a state that this page does not know is shown by its name. */
function stateBadge(table, state) {
  return badge(...(Object.hasOwn(table, state) ? table[state] : [visible(state), "none", "calm"]));
}

/** By the reason of the last failure. The error itself says more; this says where to begin. */
const BY_REASON = {
  reference: "Correct the reference.",
  unknown_vault: "Create a vault with this prefix, enable its backend, or correct the reference.",
  not_found: "Create the secret in the vault, or correct the reference.",
  denied: "Check the credentials and what they are allowed to read. Test shows which step fails.",
  throttled: "Raise `ttl`, or ask the vault's operator for a higher limit.",
  unavailable:
    "Check the address and the network, and whether the vault runs and is unsealed. Test shows which step fails.",
  tls: "Check the CA bundle, the host's name in the certificate and the version of TLS. Test shows which step fails.",
  timeout: "Check the network and the vault's load, or raise `vault_fetch_timeout`.",
  invalid: "Check the field that the reference names, and `base64_decode`.",
  would_block: "Do nothing: kong-vault fetches the value in the background.",
  internal: "Report this as a defect of kong-vault.",
};

/** A flaw is corrected where the vault was set up. */
const BY_KIND = {
  "built-in": "Correct the option in kong.conf, `configure` or the environment, then reload or restart.",
  declarative: "Correct the entity in the declarative configuration, then reload.",
  entity: "Edit the vault: correct the option that the error names.",
  kong: "Edit the vault: correct the option that the error names.",
};

/** Whether the last fetch failed: an error from before the last success tells nothing of now. */
function failedLast(vault) {
  return (vault.last_failure ?? 0) > (vault.last_success ?? 0);
}

/** A key of `HEALTH`. */
function healthOf(vault) {
  if (vault.flawed) return "flawed";
  if (vault.state === "open" || vault.state === "half_open" || vault.state === "unused") return vault.state;
  return failedLast(vault) ? "failing" : "ok";
}

/** Whether somebody has to look at a vault. */
function isTrouble(vault) {
  return !["ok", "unused"].includes(healthOf(vault));
}

/** Sentences that say what to do about a vault, or nothing. */
function adviceFor(vault) {
  const health = healthOf(vault);
  const first = {
    flawed: BY_KIND[vault.kind],
    open: "Cached values stay in use. kong-vault probes the vault until it recovers.",
    half_open: "kong-vault probes the vault now. Cached values stay in use.",
  }[health];
  const reason = health === "ok" || health === "unused" || health === "flawed" ? null : BY_REASON[vault.reason];
  return [first, reason].filter(Boolean).join(" ");
}
