//! Counters of one VM, and the figures of the node, for `stats()`, metrics and Kong's Admin API.

use mlua::{IntoLuaMulti, Lua, Nil, Table, UserDataMethods};

use super::native::{Native, or_error};
use kong_vault::resolver::Resolver;
use kong_vault::resolver::exposition::Format;

/// Adds methods to a VM's handle. `front_hits`: how many look-ups its Lua table answered.
pub fn methods<M: UserDataMethods<Native>>(methods: &mut M) {
    methods.add_method("metrics", |lua, this, (front_hits, is_classic): (u64, Option<bool>)| {
        let format = if is_classic == Some(true) { Format::Classic } else { Format::OpenMetrics };
        let text = this.0.resolver().map(|resolver| {
            resolver.metrics().note_front_hits(front_hits);
            resolver.node_status().render(resolver.config().metrics_references, format)
        });
        or_error(lua, text)
    });
    methods.add_method("status", |lua, this, front_hits: u64| {
        let text = this.0.resolver().map(|resolver| {
            resolver.metrics().note_front_hits(front_hits);
            resolver.node_status().to_json().to_string()
        });
        or_error(lua, text)
    });
    methods.add_method("note_front_hits", |_, this, front_hits: u64| {
        if let Ok(resolver) = this.0.resolver() {
            resolver.metrics().note_front_hits(front_hits);
        }
        Ok(())
    });
    methods.add_method("stats", |lua, this, front_hits: u64| match this.0.resolver() {
        Err(error) => (Nil, error.to_string()).into_lua_multi(lua),
        Ok(resolver) => stats(lua, resolver, front_hits)?.into_lua_multi(lua),
    });
}

fn stats(lua: &Lua, resolver: &Resolver, front_hits: u64) -> mlua::Result<Table> {
    let (stats, levels, metrics) = (lua.create_table()?, resolver.levels(front_hits), resolver.metrics());
    stats.set("entries", levels.entries)?;
    stats.set("bytes", levels.bytes)?;
    stats.set("fetching", levels.under_way)?;
    stats.set("next_refresh", levels.next_event.map(|next| next.as_secs_f64()))?;
    stats.set("hits", front_hits + metrics.hits.get() + metrics.stale_hits.get())?;
    for (name, counter) in [
        ("cache_hits", &metrics.hits),
        ("stale_hits", &metrics.stale_hits),
        ("negative_hits", &metrics.negative_hits),
        ("misses", &metrics.misses),
        ("adopted", &metrics.adopted),
        ("refused", &metrics.refused),
        ("refreshes", &metrics.refreshes),
        ("probes", &metrics.probes),
        ("fetches", &metrics.fetches),
        ("batches", &metrics.batches),
        ("resurrected", &metrics.resurrected),
    ] {
        stats.set(name, counter.get())?;
    }
    stats.set("spans_sent", metrics.spans.sent.get())?;
    stats.set("spans_dropped", metrics.spans.dropped.get())?;
    stats.set("evictions", levels.evictions)?;
    stats.set("audit_lines", levels.audit.written)?;
    stats.set("audit_dropped", levels.audit.dropped)?;
    // Cumulative, as in Prometheus: how many fetches took at most so many seconds.
    let (durations, mut count) = (lua.create_table()?, 0);
    for (bound, fetches) in metrics.latency.buckets() {
        count += fetches;
        durations.set(if bound.is_finite() { bound.to_string() } else { "inf".to_owned() }, count)?;
    }
    stats.set("fetch_durations", durations)?;
    stats.set("fetch_seconds", metrics.latency.seconds())?;
    let failures = lua.create_table()?;
    for (backend, reason, count) in metrics.failures() {
        failures.set(format!("{backend}.{reason}"), count)?;
    }
    stats.set("failures", failures)?;
    let breakers = lua.create_table()?;
    for (vault, state) in levels.breakers {
        breakers.set(vault, state.name())?;
    }
    stats.set("breakers", breakers)?;
    Ok(stats)
}
