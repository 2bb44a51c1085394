//! The vault entities of `vault_data_dir`: the folder, the jobs that read and write it, and the epoch.
//!
//! It uses the store, the Admin API and the runtime. It must never know what becomes of values: that is the resolver's.

pub mod epoch_watch;
pub mod followed;
