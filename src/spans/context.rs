//! Where a request stands in its trace: the header `traceparent` of W3C Trace Context.

use ring::rand::{SecureRandom, SystemRandom};

/// The length of the header as version 00 has it, and of what later versions begin with.
const LENGTH: usize = 55;

/// The version that is invalid.
const NO_VERSION: u8 = 0xff;

/// The flag that says that the trace is recorded.
const SAMPLED: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: [u8; 16],
    /// The span that the request is in.
    pub span_id: [u8; 8],
    pub sampled: bool,
}

impl TraceContext {
    /// Reads the header; `None` where it is none. Of a later version, it reads what version 00 has.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let (known, rest) = header.split_at_checked(LENGTH)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let [version] = bytes(parts.next()?)?;
        let (trace_id, span_id) = (bytes(parts.next()?)?, bytes(parts.next()?)?);
        let [flags] = bytes(parts.next()?)?;
        let ends = rest.is_empty() || (version != 0 && rest[0] == b'-');
        let is_valid = ends && version != NO_VERSION && trace_id != [0; 16] && span_id != [0; 8];
        (is_valid && parts.next().is_none()).then_some(Self { trace_id, span_id, sampled: flags & SAMPLED != 0 })
    }

    /// A span of the same trace, or the first of a new one.
    pub fn child_of(parent: Option<&Self>) -> Option<Self> {
        let trace_id = match parent {
            Some(parent) => parent.trace_id,
            None => random()?,
        };
        Some(Self { trace_id, span_id: random()?, sampled: true })
    }
}

/// Reads so many bytes in hexadecimal digits, in lower case as the header has them.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut read = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in read.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(read)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// A random number that is not zero. `None` where the system has none.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut number = [0; N];
    SystemRandom::new().fill(&mut number).ok()?;
    (number != [0; N]).then_some(number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(header: &str) -> Option<TraceContext> {
        TraceContext::parse(header.as_bytes())
    }

    #[test]
    fn the_header_says_trace_span_and_whether_it_is_recorded() {
        let read = parse(HEADER).unwrap();
        assert_eq!(read.trace_id[..2], [0x4b, 0xf9]);
        assert_eq!(read.span_id, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(read.sampled);
        assert!(!parse(&HEADER.replace("-01", "-00")).unwrap().sampled);
        assert!(parse(&HEADER.replace("-01", "-ff")).unwrap().sampled, "other flags have no meaning here");
        assert!(!parse(&HEADER.replace("-01", "-02")).unwrap().sampled);
    }

    #[test]
    fn a_later_version_may_have_more_behind_a_hyphen() {
        let later = HEADER.replace("00-4", "cc-4");
        assert_eq!(parse(&later), parse(HEADER));
        assert_eq!(parse(&(later.clone() + "-what-the-future-has")), parse(HEADER));
        assert_eq!(parse(&(later.clone() + "-")), parse(HEADER));
        assert_eq!(parse(&(later + ".what")), None);
        assert_eq!(parse(&(HEADER.to_owned() + "-what")), None, "version 00 has no more");
    }

    #[test]
    fn what_is_no_header_is_none() {
        for header in [
            "",
            "00",
            &HEADER[1..],
            &HEADER.to_uppercase(),
            &HEADER.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
            &HEADER.replace("00f067aa0ba902b7", "0000000000000000"),
            &HEADER.replace("00-4", "ff-4"),
            &HEADER.replace("00-4", "0g-4"),
            &HEADER.replace("4bf9", "4bg9"),
            &HEADER.replace('-', "_"),
            &HEADER.replace("-01", "-1 "),
            &format!("{HEADER}, {HEADER}"),
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b77-01",
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_child_has_the_trace_of_its_parent_and_a_root_its_own() {
        let parent = parse(HEADER).unwrap();
        let child = TraceContext::child_of(Some(&parent)).unwrap();
        assert_eq!(child.trace_id, parent.trace_id);
        assert_ne!(child.span_id, parent.span_id);
        let (one, other) = (TraceContext::child_of(None).unwrap(), TraceContext::child_of(None).unwrap());
        assert_ne!(one.trace_id, other.trace_id);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), flags in any::<u8>()) {
            prop_assume!(trace != [0; 16] && span != [0; 8]);
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let read = parse(&format!("00-{}-{}-{flags:02x}", hex(&trace), hex(&span))).unwrap();
            prop_assert_eq!(read, TraceContext { trace_id: trace, span_id: span, sampled: flags & 1 == 1 });
        }

        #[test]
        fn whatever_comes_is_no_panic(header in proptest::collection::vec(any::<u8>(), 0..80)) {
            TraceContext::parse(&header);
        }

        #[test]
        fn one_changed_byte_is_another_context_or_none(at in 0usize..55, byte in any::<u8>()) {
            let mut header = HEADER.as_bytes().to_vec();
            let old = std::mem::replace(&mut header[at], byte);
            let read = TraceContext::parse(&header);
            // The version and seven of the flags change nothing.
            prop_assert!(old == byte || !(2..=52).contains(&at) || read != parse(HEADER));
        }
    }
}
