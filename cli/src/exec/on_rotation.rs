//! What happens when a value rotates.

use rustix::process::Signal;

/// What happens when a value rotates.
#[derive(Debug, Clone, Copy)]
pub enum OnRotation {
    Restart,
    Signal(Signal),
}

/// Parses the value of `--on-rotation`.
pub fn parse(text: &str) -> Result<OnRotation, String> {
    let signal = match text.strip_prefix("SIG").unwrap_or(text) {
        "restart" => return Ok(OnRotation::Restart),
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "TERM" => Signal::TERM,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        _ => return Err("must be restart, or one of the signals HUP, INT, QUIT, TERM, USR1 and USR2".to_owned()),
    };
    Ok(OnRotation::Signal(signal))
}
