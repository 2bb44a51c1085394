//! Azure's instance metadata service, which is on each virtual machine: what it answers before it is ready is asked again.

use std::time::{Duration, Instant};

use url::Url;

use crate::error::Result;
use crate::http::HttpResponse;
use crate::identity::external::ExternalClient;

/// What Azure's own clients take in place of its address.
pub const PLACE: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
pub const USUAL: &str = "http://169.254.169.254";
pub const PATH: &str = "/metadata/identity/oauth2/token";

/// The pauses after answers that say nothing for good, as Azure's own clients make them.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(1600),
    Duration::from_millis(3200),
    Duration::from_millis(6400),
    Duration::from_millis(12_800),
];
/// The service is being updated, which may take more than a minute.
const UPDATED: u16 = 410;
const PAUSE_OF_UPDATE: Duration = Duration::from_secs(10);

/// An answer, if need be to the last of several questions. Whoever waits has a deadline; a load under way goes on.
pub async fn ask(
    external: &ExternalClient,
    url: &Url,
    retries: Duration,
    note: &(dyn Fn(String) + Send + Sync),
) -> Result<HttpResponse> {
    let start = Instant::now();
    let mut pauses = PAUSES.into_iter();
    loop {
        let answer = external.get(url, &[("metadata", "true")]).await?;
        let is_temporary = matches!(answer.status, 404 | UPDATED | 429 | 500..);
        let Some(pause) = pauses.next().filter(|_| is_temporary) else { return Ok(answer) };
        let least = if answer.status == UPDATED { PAUSE_OF_UPDATE } else { Duration::ZERO };
        let pause = pause.max(least).max(answer.retry_after().unwrap_or_default());
        if start.elapsed() + pause > retries {
            return Ok(answer);
        }
        note(format!("Azure's metadata service, which answers with status {}", answer.status));
        tokio::time::sleep(pause).await;
    }
}
