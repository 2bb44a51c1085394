//! What `check` is fed costs it work and memory that its size bounds, whatever stands in it.

mod support;

use kong_vault_cli::check::look_at;
use support::cost::{self, Counting};
use support::heavy;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_declarative_file_is_checked_in_time_linear_to_its_size() {
    for (what, make) in heavy::FILES {
        cost::is_linear(what, *make, |text| drop(look_at("kong.yml", text.as_bytes().to_vec())));
    }
}

#[test]
fn a_kong_conf_is_checked_in_time_linear_to_its_size() {
    for (what, make) in heavy::CONFS {
        cost::is_linear(what, *make, |text| drop(look_at("kong.conf", text.as_bytes().to_vec())));
    }
}

/// What one MB may cost, in a build as it is released.
#[test]
#[ignore = "a measurement of seconds: cargo test --release --package kong-vault-cli --test bounds -- --ignored --nocapture"]
fn a_megabyte_of_any_file_is_checked_within_a_second_and_100_mb() {
    let mut costs = Vec::new();
    for (name, kinds) in [("kong.yml", heavy::FILES), ("kong.conf", heavy::CONFS)] {
        for (what, make) in kinds {
            let input = make(1_000_000);
            costs.push((cost::of(|| drop(look_at(name, input.into_bytes()))), format!("{name} {what}")));
        }
    }
    cost::of_a_megabyte(costs);
}
