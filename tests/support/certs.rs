//! Certificates for tests, made with the `openssl` command in a directory of their own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// From when to when a certificate is valid, as `openssl ca` takes it.
pub const VALID: (&str, &str) = ("20200101000000Z", "20991231235959Z");
pub const EXPIRED: (&str, &str) = ("20200101000000Z", "20210101000000Z");

/// A certificate and its key, both PEM files.
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pair {
    pub fn path(&self) -> &str {
        self.certificate.to_str().expect("a path in UTF-8")
    }

    pub fn pem(&self) -> String {
        std::fs::read_to_string(&self.certificate).expect("the certificate")
    }
}

/// A certificate authority.
pub struct Ca {
    directory: PathBuf,
    pub pair: Pair,
}

/// Whether there is an `openssl` to make certificates with.
pub fn available() -> bool {
    Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

impl Ca {
    pub fn new(parent: &Path, name: &str) -> Ca {
        let directory = parent.join(name);
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::write(directory.join("index"), "").expect("a file");
        let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\npolicy=p\n\
                      default_md=sha256\ncopy_extensions=copy\nunique_subject=no\n[p]\ncommonName=supplied\n";
        std::fs::write(directory.join("ca.cnf"), config).expect("a file");
        let pair = self_signed(&directory, "ca", &format!("/CN={name}"), None);
        Ca { directory, pair }
    }

    /// A server's certificate, with a `subjectAltName` such as `DNS:localhost,IP:127.0.0.1`.
    pub fn issue(&self, name: &str, alternatives: &str, (start, end): (&str, &str)) -> Pair {
        let key = format!("{name}.key");
        let alternatives = format!("subjectAltName={alternatives}");
        let mut request =
            vec!["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", &key];
        let (csr, pem) = (format!("{name}.csr"), format!("{name}.pem"));
        request.extend(["-out", &csr, "-subj", "/CN=server", "-addext", &alternatives]);
        openssl(&self.directory, &request);
        let mut sign = vec!["ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-notext"];
        sign.extend(["-in", &csr, "-out", &pem, "-startdate", start, "-enddate", end]);
        openssl(&self.directory, &sign);
        Pair { certificate: self.directory.join(pem), key: self.directory.join(key) }
    }
}

/// A self-signed certificate with the CA flag, as `openssl req -x509` makes it.
pub fn self_signed(directory: &Path, name: &str, subject: &str, alternatives: Option<&str>) -> Pair {
    let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
    let mut arguments =
        vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let extension = alternatives.map(|names| format!("subjectAltName={names}"));
    arguments.extend(["-keyout", &key, "-out", &pem, "-subj", subject]);
    if let Some(extension) = &extension {
        arguments.extend(["-addext", extension]);
    }
    openssl(directory, &arguments);
    Pair { certificate: directory.join(pem), key: directory.join(key) }
}

/// The same self-signed certificate, but expired.
pub fn expired(directory: &Path, pair: &Pair) -> Pair {
    let ca = Ca::new(directory, "expiring");
    let (certificate, key) = (pair.path(), pair.key.to_str().expect("a path in UTF-8"));
    std::fs::write(ca.directory.join("ext.cnf"), "basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:localhost\n")
        .expect("a file");
    openssl(&ca.directory, &["x509", "-x509toreq", "-in", certificate, "-signkey", key, "-out", "own.csr"]);
    let mut sign = vec!["ca", "-selfsign", "-batch", "-config", "ca.cnf", "-keyfile", key, "-notext", "-in", "own.csr"];
    sign.extend(["-out", "own.pem", "-extfile", "ext.cnf", "-startdate", EXPIRED.0, "-enddate", EXPIRED.1]);
    openssl(&ca.directory, &sign);
    Pair { certificate: ca.directory.join("own.pem"), key: pair.key.clone() }
}

fn openssl(directory: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
