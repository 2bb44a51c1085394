//! As much of X.509 as it takes to tell whose key a certificate is for, and who issued it. Nothing is verified here.

use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Parts of a certificate, as they stand in it.
pub struct Parts<'a> {
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    /// The SubjectPublicKeyInfo.
    pub public_key: &'a [u8],
    validity: &'a [u8],
}

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The days from March 1st of the year 0 to 1970.
const DAYS_TO_1970: u64 = 719_468;
/// The explicit tag of a version, which may be left out.
const VERSION: u8 = 0xa0;

impl<'a> Parts<'a> {
    /// `None` where it is no certificate.
    pub fn of(certificate: &'a CertificateDer<'_>) -> Option<Self> {
        let (whole, _) = element(certificate)?;
        let (tbs, _) = element(content(whole, SEQUENCE)?)?;
        let mut rest = content(tbs, SEQUENCE)?;
        if rest.first() == Some(&VERSION) {
            (_, rest) = element(rest)?;
        }
        let mut next = || {
            let (one, after) = element(rest)?;
            rest = after;
            Some(one)
        };
        // Serial number and algorithm; then the names, with the validity between them.
        let (_, _, issuer, validity, subject, public_key) = (next()?, next()?, next()?, next()?, next()?, next()?);
        Some(Self { issuer, subject, public_key, validity })
    }
}

/// The first element of DER, whole, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, length) = header(der)?;
    der.split_at_checked(header.checked_add(length)?)
}

/// What an element holds, where it is of that kind.
fn content(element: &[u8], tag: u8) -> Option<&[u8]> {
    let (header, _) = header(element)?;
    element.get(header..).filter(|_| element[0] == tag)
}

/// The length of an element's head, and that of its content.
fn header(der: &[u8]) -> Option<(usize, usize)> {
    match *der.get(1)? {
        short @ 0..=0x7f => Some((2, usize::from(short))),
        long @ 0x81..=0x84 => {
            let count = usize::from(long & 0x7f);
            let length = der.get(2..2 + count)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
            Some((2 + count, length))
        }
        _ => None,
    }
}

/// When a certificate ends, in seconds since 1970.
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<u64> {
    let validity = content(Parts::of(certificate)?.validity, SEQUENCE)?;
    let (_, rest) = element(validity)?;
    let (end, _) = element(rest)?;
    let digits = match (content(end, UTC_TIME), content(end, GENERALIZED_TIME)) {
        // RFC 5280: years from 1950 on.
        (Some(short), _) => [if *short.first()? >= b'5' { b"19" } else { b"20" }, short].concat(),
        (None, Some(long)) => long.to_vec(),
        (None, None) => return None,
    };
    seconds(digits.strip_suffix(b"Z")?)
}

/// The time that `YYYYMMDDhhmmss` says.
fn seconds(digits: &[u8]) -> Option<u64> {
    if digits.len() != 14 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number =
        |from: usize, to: usize| digits[from..to].iter().fold(0, |sum, digit| 10 * sum + u64::from(digit - b'0'));
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let hours = 24 * days.checked_sub(DAYS_TO_1970)? + number(8, 10);
    Some((60 * hours + number(10, 12)) * 60 + number(12, 14))
}

/// The SubjectPublicKeyInfo of a private key; `None` where it is of no kind that is known here.
pub fn public_key(key: &PrivateKeyDer<'_>) -> Option<Vec<u8>> {
    any_supported_type(key).ok()?.public_key().map(|info| info.to_vec())
}

/// Puts a key's certificate first and each issuer's behind the one that it issued; others, such as roots of another chain,
/// come last, as they stood. `None` where no certificate is the key's. Of a key of an unknown kind, the first is taken for it.
pub fn chain(
    mut certificates: Vec<CertificateDer<'static>>,
    key: Option<&PrivateKeyDer<'_>>,
) -> Option<Vec<CertificateDer<'static>>> {
    let own = match key.and_then(public_key) {
        Some(info) => {
            let is_own =
                |certificate: &CertificateDer<'_>| Parts::of(certificate).is_some_and(|parts| parts.public_key == info);
            certificates.iter().position(is_own)?
        }
        // Without a key, it is the one that issued none of the others.
        None => certificates.iter().position(|it| !issued_another(it, &certificates)).unwrap_or(0),
    };
    if certificates.is_empty() {
        return None;
    }
    let mut ordered = vec![certificates.remove(own)];
    while let Some(next) = ordered.last().and_then(|last| issuer_of(last, &certificates)) {
        ordered.push(certificates.remove(next));
    }
    ordered.append(&mut certificates);
    Some(ordered)
}

fn issued_another(certificate: &CertificateDer<'_>, all: &[CertificateDer<'_>]) -> bool {
    let Some(own) = Parts::of(certificate) else { return false };
    all.iter()
        .filter(|other| **other != *certificate)
        .any(|other| Parts::of(other).is_some_and(|parts| parts.issuer == own.subject))
}

fn issuer_of(certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Option<usize> {
    let own = Parts::of(certificate)?;
    if own.issuer == own.subject {
        return None;
    }
    others.iter().position(|other| Parts::of(other).is_some_and(|parts| parts.subject == own.issuer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_has_no_parts() {
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x03\x30\x01\x02",
            b"\x02\x01\x01",
            b"\x30\x85\x01\x00\x00\x00\x00",
            b"hunter2",
        ] {
            assert!(Parts::of(&CertificateDer::from(der.to_vec())).is_none(), "{der:?}");
        }
    }

    /// Made by hand: a version, a serial number, an algorithm, and names and keys of one byte.
    fn certificate(issuer: u8, subject: u8, key: u8) -> CertificateDer<'static> {
        let sequence = |content: &[u8]| [&[SEQUENCE, content.len() as u8], content].concat();
        let tbs = [
            &[VERSION, 3, 2, 1, 2][..],
            &[2, 1, 7],
            &sequence(&[]),
            &sequence(&[issuer]),
            &sequence(&[]),
            &sequence(&[subject]),
            &sequence(&[key]),
        ];
        CertificateDer::from(sequence(&sequence(&tbs.concat())))
    }

    #[test]
    fn a_chain_is_put_in_order_whatever_it_was() {
        let [leaf, middle, root, other] =
            [certificate(2, 1, 1), certificate(3, 2, 2), certificate(3, 3, 3), certificate(9, 9, 9)];
        let parts = Parts::of(&leaf).unwrap();
        assert_eq!((parts.issuer, parts.subject), (&[SEQUENCE, 1, 2][..], &[SEQUENCE, 1, 1][..]));
        let wanted = [&leaf, &middle, &root, &other].map(|it| it.clone().into_owned());
        for given in [[&root, &middle, &leaf, &other], [&middle, &leaf, &root, &other], [&leaf, &root, &other, &middle]]
        {
            let given = given.into_iter().cloned().collect();
            assert_eq!(chain(given, None).unwrap(), wanted);
        }
        assert_eq!(chain(vec![leaf.clone()], None).unwrap(), [leaf]);
        assert!(chain(Vec::new(), None).is_none());
    }

    #[test]
    fn a_chain_that_goes_round_has_an_end() {
        let given = vec![certificate(1, 2, 1), certificate(2, 1, 2)];
        assert_eq!(chain(given.clone(), None).unwrap().len(), 2);
    }
}
