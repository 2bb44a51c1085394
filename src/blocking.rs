//! Fetches where waiting is allowed and no thread may be left: nginx's init phases, the command line, plain LuaJIT.

use std::future::Future;

use tokio::runtime::Builder;

use crate::error::{Error, Kind, Result};

/// Runs a future to its end on this thread. No thread of ours outlives the call; the future bounds its own time.
pub fn run<T>(future: impl Future<Output = T>) -> Result<T> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .map_err(|err| Error::new(Kind::Internal, format!("a fetch can't be started ({err})")))?;
    Ok(runtime.block_on(future))
}
