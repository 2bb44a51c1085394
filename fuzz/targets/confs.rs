//! A kong.conf, looked at by `kong-vault check`.
#![no_main]

use kong_vault_cli::check;
use kong_vault_fuzz::{Bytes, MARKER, bounded, hides};
use libfuzzer_sys::fuzz_target;

/// One with a secret in it.
const TEMPLATE: &str = "# Kong's\nvaults = env, hcv\nvault_hcv_token = m4rk3r-0f-a-s3cr3t\nvault_hcv_port = 8200 # comment\n\
    pg_password = {vault://env/pg}\nvault_hcv_approle_secret_id = 'm4rk3r-0f-a-s3cr3t'\nvault_cache_size = 3\n";

fuzz_target!(|data: &[u8]| {
    // A file that is named is another matter.
    if data.windows(11).any(|it| it.eq_ignore_ascii_case(b"declarative")) {
        return;
    }
    bounded(data.len(), || {
        let (table, wrong) = check::look_at("kong.conf", data.to_vec());
        assert!(table.lines().count() > 0 && table.matches("  error: ").count() >= wrong.min(1), "{table}");
        let text = Bytes(data).edited(TEMPLATE);
        // As long as it is still the value of a credential.
        let lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
        let is_kept = |line: &&[u8]| {
            !line.windows(MARKER.len()).any(|it| it == MARKER.as_bytes())
                || line.starts_with(b"vault_hcv_token = m4")
                || line.starts_with(b"vault_hcv_approle_secret_id = 'm4")
        };
        if lines.iter().all(is_kept) {
            hides(&check::look_at("kong.conf", text).0);
        }
    });
});
