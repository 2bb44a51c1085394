//! Whether a vault may leave a server's certificate unverified.

use crate::options::Opt;
use crate::options::value::Value;

/// The option that forbids unverified certificates, for all vaults.
pub const OPTION: &str = "tls_certificate_verify";

/// What `tls_certificate_verify` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verification {
    /// Each vault's own option decides.
    #[default]
    Optional,
    /// No vault may go without.
    Enforced,
}

impl Verification {
    pub fn new(is_enforced: bool) -> Self {
        if is_enforced { Self::Enforced } else { Self::Optional }
    }

    /// Whether it forbids this value of an option.
    pub fn forbids(self, opt: &Opt, value: Option<&Value>) -> bool {
        let off = opt.unverified.filter(|_| self == Self::Enforced);
        off.is_some_and(|off| value == Some(&Value::Boolean(off)))
    }

    /// The same for a value as it was written.
    pub fn forbids_text(self, opt: &Opt, text: &str) -> bool {
        self.forbids(opt, opt.parse(text).as_ref())
    }
}
