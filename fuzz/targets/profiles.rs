//! AWS's profile files, with a secret key in them.
#![no_main]

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, LazyLock};

use kong_vault::config::Config;
use kong_vault::environment::Environment;
use kong_vault::resolver::Resolver;
use kong_vault_fuzz::{Bytes, bounded, hides};
use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = std::path::Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    folder.expect("a folder")
});

const CONFIGS: [&str; 4] = [
    "[default]\nregion = eu-west-1\nrole_arn = arn:aws:iam::123456789012:role/a\nsource_profile = base\n\
     [profile base]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = m4rk3r-0f-a-s3cr3t\n",
    "[profile default]\nregion=eu-west-1\nsso_session = one\nsso_account_id = 123456789012\nsso_role_name = r\n\
     [sso-session one]\nsso_region = eu-west-1\nsso_start_url = https://example.awsapps.com/start\n",
    "[default]\n# comment\nregion = eu-west-1\ns3 =\n  a = b\nrole_arn = x\ncredential_source = Environment\n",
    "[default]\nrole_arn = arn:aws:iam::123456789012:role/a\nweb_identity_token_file = /dev/null\n",
];

const CREDENTIALS: [&str; 2] = [
    "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = m4rk3r-0f-a-s3cr3t\naws_session_token = m4rk3r-0f-a-s3cr3t\n",
    "[base]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = m4rk3r-0f-a-s3cr3t ; comment\n\n[default]\nsource_profile = base\n  \
     aws_secret_access_key = m4rk3r-0f-a-s3cr3t\n",
];

fuzz_target!(|data: &[u8]| {
    // A profile may name a program to run, which nobody wants to come out of a fuzzer.
    if data.to_ascii_lowercase().windows(7).any(|it| it == b"process") {
        return;
    }
    let mut bytes = Bytes(data);
    let config = bytes.one_of(&CONFIGS);
    let config = bytes.edited(config);
    let credentials = bytes.one_of(&CREDENTIALS);
    let credentials = bytes.edited(credentials);
    if [&config, &credentials].iter().any(|text| text.to_ascii_lowercase().windows(7).any(|it| it == b"process")) {
        return;
    }
    let path = |name: &str| FOLDER.path().join(name).to_str().expect("a path").to_owned();
    std::fs::write(path("config"), config).expect("a file");
    std::fs::write(path("credentials"), credentials).expect("a file");
    let environment = Environment::from_variables([
        ("HOME", path("")),
        ("AWS_CONFIG_FILE", path("config")),
        ("AWS_SHARED_CREDENTIALS_FILE", path("credentials")),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        // Nobody listens there.
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1".to_owned()),
        ("KONG_VAULT_FETCH_TIMEOUT", "0.02".to_owned()),
    ]);
    bounded(data.len(), || {
        let config = Config::load(&BTreeMap::new(), &environment).expect("a configuration");
        let resolver = Arc::new(Resolver::new(config, environment.clone(), Arc::new(AtomicU32::new(0))));
        let outcome = resolver.fetch_blocking(&[b"{vault://aws/a}".to_vec()]).pop().expect("an outcome");
        let error = outcome.expect_err("nobody is there");
        assert!(!error.to_string().contains('\n'), "{error}");
        hides(&format!("{error} {error:?}"));
    });
});
