//! What the audit log needs of the library, beside `kong_vault_audit_read`.

use mlua::{LuaString, UserDataMethods};

use super::native::Native;
use kong_vault::admin::{EntityChange, Who};
use kong_vault::audit::Reads;
use kong_vault::backend::registry::ALL;
use kong_vault::store::Record;

/// Adds methods to a VM's handle.
pub fn methods<M: UserDataMethods<Native>>(methods: &mut M) {
    // Which look-ups are noted: none (nothing), those that the table in Lua does not answer (false), or all (true).
    methods.add_method("audits_all_reads", |_, this, ()| {
        Ok(match this.0.resolver().map_or(Reads::Off, |resolver| resolver.audit().reads()) {
            Reads::Off => None,
            Reads::Fetched => Some(false),
            Reads::All => Some(true),
        })
    });
    methods
        .add_method("is_audited", |_, this, ()| Ok(this.0.resolver().is_ok_and(|resolver| resolver.audit().is_on())));
    // For phases that may block: no thread writes there.
    methods.add_method("flush_audit", |_, this, ()| {
        if let Ok(resolver) = this.0.resolver() {
            resolver.audit().flush(resolver.config().fetch_timeout);
        }
        Ok(())
    });
    // A change of an entity by Kong's own Admin API. Entities are JSON; what is no object counts as none.
    type ChangeArguments = (Option<LuaString>, Option<LuaString>, Vec<LuaString>);
    methods.add_method("audit_change", |_, this, (before, after, peers): ChangeArguments| {
        let record = |json: Option<LuaString>| json.and_then(|json| serde_json::from_slice(&json.as_bytes()).ok());
        let (before, after): (Option<Record>, Option<Record>) = (record(before), record(after));
        let peers: Vec<_> = peers.iter().map(|peer| peer.as_bytes().to_vec()).collect();
        let who = Who::at(None, &peers.iter().map(Vec::as_slice).collect::<Vec<_>>());
        if let Ok(resolver) = this.0.resolver() {
            resolver.audit_change(&who, &EntityChange::new(before.as_ref(), after.as_ref(), ALL));
        }
        Ok(())
    });
}
