//! What the targets share: a marker in the places of secrets, a limit on time, and inputs made of a fuzzer's bytes.

use std::time::{Duration, SystemTime};

/// It stands where a secret would. No error, table or `Debug` may show it.
pub const MARKER: &str = "m4rk3r-0f-a-s3cr3t";

/// By which it is recognised: a part of it, and its base64 (all of it that doesn't depend on what stands before).
const TRACES: [&[u8]; 3] = [b"s3cr3t", b"czNjcjN0", b"bTRyazNy"];

/// Whether a text shows the marker or a part of it.
pub fn shows(text: &[u8]) -> bool {
    TRACES.iter().any(|trace| text.windows(trace.len()).any(|part| part == *trace))
}

/// Fails where a text does.
#[track_caller]
pub fn hides(text: &str) {
    assert!(!shows(text.as_bytes()), "it shows a secret: {text}");
}

/// How long any input may take, and how much more for each of its KB. Far above what is needed, as the machine may be busy
/// and the build is a slow one; but whatever grows with the square is above that soon.
const AT_LEAST: Duration = Duration::from_secs(2);
const PER_KB: Duration = Duration::from_millis(20);

/// Does something with an input of that length, which must not take long.
#[track_caller]
pub fn bounded<T>(length: usize, work: impl FnOnce() -> T) -> T {
    // A target may set the other clock.
    let start = SystemTime::now();
    let done = work();
    let (took, allowed) = (start.elapsed().unwrap_or_default(), AT_LEAST + PER_KB * (length / 1024) as u32);
    assert!(took <= allowed, "{length} bytes took {took:?}");
    done
}

/// Has panics in one crate pass that whoever calls it catches: fuzzing ends with any other.
pub fn tolerate_panics_of(crate_name: &'static str) {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|location| location.file().contains(crate_name)) {
            others(panic);
        }
    }));
}

/// A fuzzer's bytes, taken one after the other; zeros where there are no more.
pub struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    pub fn one_of<'b, T>(&mut self, choices: &'b [T]) -> &'b T {
        &choices[usize::from(self.byte()) % choices.len()]
    }

    /// The bytes up to the next NUL.
    pub fn piece(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let piece = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        piece
    }

    /// A text with some changes, none of which touches the marker or takes it out of its place.
    pub fn edited(&mut self, template: &str) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = template.split(MARKER).map(|part| part.as_bytes().to_vec()).collect();
        for _ in 0..self.byte() % 8 {
            let index = usize::from(self.byte()) % parts.len();
            let part = &mut parts[index];
            let at = self.number() % (part.len() + 1);
            match self.byte() % 4 {
                0 if at < part.len() => part[at] = self.byte(),
                1 if at < part.len() => drop(part.remove(at)),
                2 => drop(part.splice(at..at, self.piece().iter().copied())),
                _ => {
                    let more = part[at..part.len().min(at + 64)].to_vec();
                    drop(part.splice(at..at, more));
                }
            }
        }
        // The fuzzer learns the marker, and puts it where no secret stands.
        if parts.iter().any(|part| shows(part)) {
            return template.as_bytes().to_vec();
        }
        parts.join(MARKER.as_bytes())
    }
}
