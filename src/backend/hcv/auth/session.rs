//! The token of a login, shared by all fetches. It is renewed ahead of its end, while no fetch waits, and replaced when
//! it is no longer valid.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ::http::HeaderValue;

use super::answer::{self, GrantedToken};
use super::lease::{Life, TokenState};
use super::method::{AuthContext, AuthToken, Method};
use crate::backend::hcv::api::{ApiRequest, VaultApi};
use crate::error::{Error, Kind, Result};
use crate::http::HttpResponse;
use crate::notice::{debug, took};
use crate::sync::lock;

const RENEW: &str = "/v1/auth/token/renew-self";
const LOOK_UP: &str = "/v1/auth/token/lookup-self";
const REVOKE: &str = "/v1/auth/token/revoke-self";

/// How long a refusal is returned to later callers: trying again at once would not help. A new token that the vault
/// refuses counts as a refusal, as it would refuse the next one too.
const REFUSED: Duration = Duration::from_secs(2);

/// How many logins one fetch waits for: other fetches may use up a token with few uses before this one gets it.
const LOGINS: usize = 64;

/// The shortest time between two look-ups of a token because of denied reads.
const LOOK_UPS: Duration = Duration::from_secs(1);

/// Where a token comes from.
pub enum Way {
    /// A login.
    Method(Box<dyn Method>),
    /// The configuration. Such a token is only renewed.
    Given(HeaderValue),
}

impl Way {
    fn name(&self) -> &'static str {
        match self {
            Way::Method(method) => method.name(),
            Way::Given(_) => "with the token that is given",
        }
    }
}

/// One vault's login.
pub struct Session(Arc<SessionShared>);

struct SessionShared {
    api: Arc<VaultApi>,
    way: Way,
    /// The namespace in which tokens are issued, renewed and revoked.
    namespace: Option<HeaderValue>,
    timeout: Duration,
    revoke: bool,
    known: Mutex<SessionState>,
    /// Held during a request about the token.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct SessionState {
    token: Option<(HeaderValue, Life)>,
    /// When the token was issued, until the vault accepts it for the first time.
    untried: Option<Instant>,
    /// Set where the vault does not know a token that it has just issued: the error, and until when it is returned.
    unknown: Option<(Error, Instant)>,
    /// The token's number. It also grows when a token is given up.
    number: u64,
    /// Whether a renewal, or the login instead of one, is under way.
    renewing: bool,
    /// How many logins have ended; and the error of the last one, with the end of its validity.
    logins: u64,
    failure: Option<(Error, Instant)>,
    /// Which token was last looked up because of a denied read, and when.
    looked_up: Option<(u64, Instant)>,
}

impl Session {
    pub fn new(way: Way, context: &AuthContext<'_>) -> Self {
        let revoke = context.settings.boolean("revoke_on_exit") && matches!(way, Way::Method(_));
        Self(Arc::new(SessionShared {
            api: Arc::clone(context.api),
            way,
            namespace: context.namespace.clone(),
            timeout: context.timeout,
            revoke,
            known: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// The token; logs in where there is none.
    pub async fn auth_token(&self) -> Result<AuthToken> {
        for _ in 0..LOGINS {
            match self.0.take()? {
                Ok(auth_token) => return Ok(auth_token),
                Err(seen) => self.0.logged_in(seen).await?,
            }
        }
        let text = "others use its tokens up too fast: have the role's `token_num_uses` be 0, or larger";
        Err(self.0.api.error(&self.0.api.base, Kind::Denied, text))
    }

    /// After a denied read: another token, if the one that was sent is no longer valid.
    pub async fn replace(&self, auth_token: &AuthToken, answer: &HttpResponse) -> Result<Option<AuthToken>> {
        if matches!(self.0.way, Way::Given(_)) {
            // There is no other token.
            return Ok(None);
        }
        if self.0.is_current(auth_token) && self.0.is_gone(auth_token, answer).await {
            self.0.give_up(auth_token.number, answer.status);
        }
        // Also where another fetch has found this out.
        self.0.known().is_known(Instant::now())?;
        if self.0.is_current(auth_token) { Ok(None) } else { self.auth_token().await.map(Some) }
    }

    /// Notes that the vault accepted the token.
    pub fn served(&self, auth_token: &AuthToken) {
        let mut known = self.0.known();
        if known.number == auth_token.number {
            known.untried = None;
        }
    }

    /// When the token ends, as far as it has an end.
    pub fn ends(&self) -> Option<Instant> {
        self.0.known().token.as_ref().and_then(|(_, life)| life.ends())
    }

    pub fn shutdown(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let shared = Arc::clone(&self.0);
        let (token, _) = self.0.known().token.take().filter(|_| shared.revoke)?;
        Some(Box::pin(async move {
            let call = ApiRequest::post(REVOKE, b"").with(Some(&token), shared.namespace.as_ref());
            // An error is ignored, as the token ends by itself.
            let _ = tokio::time::timeout(shared.timeout, shared.api.send(&call)).await;
        }))
    }
}

impl SessionState {
    /// Fails while the vault is known not to accept the tokens that it issues.
    fn is_known(&self, now: Instant) -> Result<()> {
        match &self.unknown {
            Some((error, until)) if now < *until => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

impl SessionShared {
    fn known(&self) -> MutexGuard<'_, SessionState> {
        lock(&self.known)
    }

    /// The token, if there is a valid one; otherwise the number of logins so far. Starts a renewal that is due.
    fn take(self: &Arc<Self>) -> Result<std::result::Result<AuthToken, u64>> {
        let (mut known, now) = (self.known(), Instant::now());
        known.is_known(now)?;
        let (number, logins) = (known.number, known.logins);
        let Some((token, life)) = &mut known.token else {
            return match &known.failure {
                Some((error, until)) if now < *until => Err(error.clone()),
                _ => Ok(Err(logins)),
            };
        };
        match life.state(now) {
            TokenState::Over => {
                known.token = None;
                known.number += 1;
                Ok(Err(logins))
            }
            state => {
                life.spend();
                let auth_token = AuthToken { token: Some(token.clone()), number };
                if state == TokenState::Due && !known.renewing {
                    known.renewing = true;
                    tokio::spawn(Arc::clone(self).renew(number));
                }
                Ok(Ok(auth_token))
            }
        }
    }

    fn is_current(&self, auth_token: &AuthToken) -> bool {
        let known = self.known();
        known.token.is_some() && known.number == auth_token.number
    }

    fn give_up(&self, number: u64, status: u16) {
        let (mut known, now) = (self.known(), Instant::now());
        if known.number != number {
            return;
        }
        if known.untried.is_some_and(|since| now < since + REFUSED) {
            // The token is kept: a node that lags behind the one that issued it may know it later.
            let text = format!(
                "the vault does not know the token that it has just given: check that all nodes behind `host` are of \
                 one cluster, and that `namespace` is in `auth_namespace` (status {status})"
            );
            let error = self.api.error(&self.api.base, Kind::Denied, text).of_login();
            known.unknown = Some((error, now + REFUSED));
        } else {
            known.token = None;
            known.number += 1;
        }
    }

    /// Waits for a login: one that is under way, or a new one. It is a task of its own, so it is completed even if the
    /// fetch that started it doesn't wait for its end.
    async fn logged_in(self: &Arc<Self>, seen: u64) -> Result<()> {
        let login = tokio::spawn(Arc::clone(self).log_in_once(seen));
        login.await.unwrap_or_else(|_| {
            let text = "the login ended early: report this as a defect";
            Err(self.api.error(&self.api.base, Kind::Internal, text))
        })
    }

    /// Logs in, unless another login has ended since there were `seen`.
    async fn log_in_once(self: Arc<Self>, seen: u64) -> Result<()> {
        let _turn = self.turn.lock().await;
        {
            let known = self.known();
            if known.token.is_some() {
                return Ok(());
            }
            if let Some((error, _)) = known.failure.as_ref().filter(|_| known.logins != seen) {
                return Err(error.clone());
            }
        }
        self.log_in().await
    }

    async fn log_in(&self) -> Result<()> {
        let (label, start) = (&self.api.label, Instant::now());
        debug(|| format!("{label}: logging in ({})", self.way.name()));
        let login = async {
            match &self.way {
                Way::Method(method) => self.ask_for_token(&**method).await,
                Way::Given(token) => self.look_up(token).await,
            }
        };
        let outcome = tokio::time::timeout(self.timeout, login).await.unwrap_or_else(|_| {
            let text = format!("the login was not complete within {} seconds", self.timeout.as_secs_f64());
            Err(self.api.error(&self.api.base, Kind::Timeout, text))
        });
        let mut known = self.known();
        known.logins += 1;
        debug(|| match &outcome {
            Ok((granted, _)) => format!("{label}: logged in after {}, {}", took(start), granted.terms),
            Err(error) => format!("{label}: the login failed after {}: {}", took(start), error.kind().name()),
        });
        match outcome {
            Ok((granted, asked)) => {
                known.number += 1;
                known.failure = None;
                let mut life = Life::new(granted.terms, asked, fastrand::f64());
                if let Some(pause) = granted.again {
                    life.due_in(pause, Instant::now(), fastrand::f64());
                }
                known.token = Some((granted.token, life));
                (known.untried, known.unknown) = (Some(Instant::now()), None);
                Ok(())
            }
            Err(error) => {
                // Only a refusal is returned to later callers. Other errors are returned only to those who waited; the
                // breaker limits how often they occur.
                let stands = if error.kind() == Kind::Denied { REFUSED } else { Duration::ZERO };
                known.failure = Some((error.clone(), Instant::now() + stands));
                Err(error)
            }
        }
    }

    /// A token, and when it was requested.
    async fn ask_for_token(&self, method: &dyn Method) -> Result<(GrantedToken, Instant)> {
        let login_request = method.login_request().await?;
        let asked = Instant::now();
        let call = ApiRequest::post(&login_request.path, &login_request.body).with(None, self.namespace.as_ref());
        let (url, answer) = self.api.send(&call).await?;
        let granted = answer::of_login(&answer, method, &login_request.path).map_err(|(kind, reason)| {
            self.api.error(&url, kind, reason).of_login().with_retry_after(answer.retry_after())
        });
        Ok((granted?, asked))
    }

    /// Looks up how long a configured token is good for. Where the vault doesn't say, the token is used as it is.
    async fn look_up(&self, token: &HeaderValue) -> Result<(GrantedToken, Instant)> {
        let asked = Instant::now();
        let call = ApiRequest::get(LOOK_UP).with(Some(token), self.namespace.as_ref());
        let (_, answer) = self.api.send(&call).await?;
        let (terms, again) = answer::of_look_up(&answer);
        Ok((GrantedToken { token: token.clone(), terms, again }, asked))
    }

    /// Renews the token, or logs in where it can't be renewed. No fetch waits for this.
    async fn renew(self: Arc<Self>, number: u64) {
        let _done = Renewing(&self);
        let _turn = self.turn.lock().await;
        let token = {
            let known = self.known();
            match &known.token {
                Some((token, life)) if known.number == number => life.is_renewable().then(|| token.clone()),
                _ => return,
            }
        };
        if let Some(token) = token {
            let asked = Instant::now();
            let call = ApiRequest::post(RENEW, b"{}").with(Some(&token), self.namespace.as_ref());
            let renewed = match self.api.send(&call).await {
                Ok((_, answer)) => answer::of_renewal(&answer),
                Err(_) => answer::Renewal::Later,
            };
            debug(|| format!("{}: renewing the token {} after {}", self.api.label, renewed.outcome(), took(asked)));
            let mut known = self.known();
            let same = known.number == number;
            match (renewed, known.token.as_mut().filter(|_| same)) {
                (answer::Renewal::Done(terms), Some((_, life))) => {
                    return life.renewed(terms, asked, fastrand::f64());
                }
                (answer::Renewal::Later, Some((_, life))) => return life.put_off(Instant::now(), fastrand::f64()),
                (answer::Renewal::Never, Some(_)) => {}
                (_, None) => return,
            }
        }
        if self.log_in().await.is_err()
            && let Some((_, life)) = &mut self.known().token
        {
            life.put_off(Instant::now(), fastrand::f64());
        }
    }

    /// Whether the vault no longer knows the token, rather than denies it a path. Old vaults answer both in the same
    /// way.
    async fn is_gone(&self, auth_token: &AuthToken, denied: &HttpResponse) -> bool {
        let denial = answer::of_denial(denied);
        if denial == answer::Denial::NoToken {
            return true;
        }
        let _turn = self.turn.lock().await;
        if !self.is_current(auth_token) {
            return false;
        }
        {
            let mut known = self.known();
            let now = Instant::now();
            // A look-up of another token counts only where the answer itself points to the path.
            let counts = |number| denial == answer::Denial::Path || number == auth_token.number;
            if known.looked_up.is_some_and(|(number, at)| counts(number) && now < at + LOOK_UPS) {
                return false;
            }
            known.looked_up = Some((auth_token.number, now));
            if let Some((_, life)) = &mut known.token {
                life.spend();
            }
        }
        let call = ApiRequest::get(LOOK_UP).with(auth_token.token.as_ref(), self.namespace.as_ref());
        matches!(self.api.send(&call).await, Ok((_, answer)) if matches!(answer.status, 401 | 403))
    }
}

/// Marks the renewal as ended, however it ends.
struct Renewing<'a>(&'a SessionShared);

impl Drop for Renewing<'_> {
    fn drop(&mut self) {
        self.0.known().renewing = false;
    }
}
