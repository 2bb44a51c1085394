use std::fs;
use std::time::Duration;

use aws_credential_types::Credentials;
use tempfile::TempDir;

use super::*;

/// The limit of a whole fetch.
const TIMEOUT: Duration = Duration::from_secs(5);

struct Home(TempDir);

impl Home {
    fn new(credentials: &str, config: &str) -> Self {
        let home = Self(TempDir::new().unwrap());
        fs::create_dir(home.path(".aws")).unwrap();
        fs::write(home.path(".aws/credentials"), credentials).unwrap();
        fs::write(home.path(".aws/config"), config).unwrap();
        home
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    fn profiles(&self, more: &[(&str, &str)]) -> Profiles {
        let home = [("HOME", self.0.path().to_str().unwrap())];
        Profiles::new(&Environment::from_variables(home.into_iter().chain(more.iter().copied())), TIMEOUT)
    }
}

fn keys(profile: &Profile) -> (String, String, Option<String>) {
    let Ok(SourceChain { base: Base::AccessKeys(login), .. }) = &profile.source_chain else { panic!("no keys") };
    let keys = login.identity.data::<Credentials>().unwrap();
    let token = keys.session_token().map(str::to_owned);
    (keys.access_key_id().to_owned(), keys.secret_access_key().to_owned(), token)
}

#[tokio::test]
async fn the_default_profile_of_both_files_is_one() {
    let home = Home::new(
        "[default]\naws_access_key_id = AKID\naws_secret_access_key=s3cr3t\n aws_session_token = t\n",
        "[default]\nregion = eu-west-1\naws_access_key_id = OTHER\n",
    );
    let profile = home.profiles(&[]).current().await;
    assert_eq!(profile.property("region"), Some("eu-west-1"));
    assert_eq!(keys(&profile).0, "AKID", "the credentials file wins");
}

#[tokio::test]
async fn a_profile_is_found_by_name_and_in_files_named_by_variables() {
    let home = Home::new("[default]\naws_access_key_id=WRONG\naws_secret_access_key=x\n", "");
    fs::write(
        home.path("keys"),
        "[prod]\naws_access_key_id = AKID\naws_secret_access_key = s\naws_session_token = t\n",
    )
    .unwrap();
    fs::write(home.path("conf"), "[profile prod]\nregion = us-west-2\n").unwrap();
    let config = home.path("conf");
    let profile = home
        .profiles(&[
            ("AWS_PROFILE", "prod"),
            ("AWS_SHARED_CREDENTIALS_FILE", "~/keys"),
            ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ])
        .current()
        .await;
    assert_eq!(keys(&profile), ("AKID".into(), "s".into(), Some("t".into())));
    assert_eq!(profile.property("region"), Some("us-west-2"));
    assert_eq!(profile.source_chain.as_ref().ok().unwrap().origin, "profile prod");
}

#[tokio::test]
async fn a_changed_file_is_read_again_and_an_unchanged_one_is_not() {
    let home = Home::new("[default]\naws_access_key_id=ONE\naws_secret_access_key=s\n", "");
    let profiles = home.profiles(&[]);
    let first = profiles.current().await;
    assert!(Arc::ptr_eq(&first, &profiles.current().await));

    let next = home.path(".aws/next");
    fs::write(&next, "[default]\naws_access_key_id=TWO\naws_secret_access_key=s\n").unwrap();
    fs::rename(&next, home.path(".aws/credentials")).unwrap();
    assert_eq!(keys(&*profiles.current().await).0, "TWO");

    fs::remove_file(home.path(".aws/credentials")).unwrap();
    assert!(profiles.current().await.source_chain.is_err());
}

/// Why a profile has no credentials, and whether the next source is asked.
async fn unfit(profiles: &Profiles) -> Unfit {
    let unfit = profiles.current().await.source_chain.as_ref().err().cloned();
    unfit.expect("no credentials")
}

/// Why no request may be sent.
async fn refusal(profiles: &Profiles) -> String {
    let profile = profiles.current().await;
    assert!(matches!(&profile.source_chain, Err(Unfit::Broken(_))));
    profile.refusal.as_ref().map(|(_, reason)| reason.clone()).expect("a refusal")
}

async fn absence(profiles: &Profiles) -> String {
    match unfit(profiles).await {
        Unfit::Absent(reason) => reason,
        broken => panic!("{broken:?}"),
    }
}

#[tokio::test]
async fn a_profile_without_credentials_leaves_it_to_the_next_source_unless_it_is_asked_for() {
    for credentials in ["", "[other]\naws_access_key_id=A\naws_secret_access_key=s\n"] {
        let home = Home::new(credentials, "");
        assert!(absence(&home.profiles(&[])).await.contains("not found"));
        for variable in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"] {
            let named = refusal(&home.profiles(&[(variable, "prod")])).await;
            assert!(named.contains(&format!("profile prod ({variable}) is not found")), "{named}");
        }
    }
    let region = Home::new("", "[default]\nregion=eu-west-1\n");
    assert!(absence(&region.profiles(&[])).await.contains("it has no credentials"));
}

#[tokio::test]
async fn what_is_malformed_ends_the_search_and_is_not_quoted() {
    for credentials in ["[default\naws_secret_access_key=hunter2\n", "[default]\nhunter2\n"] {
        let reason = refusal(&Home::new(credentials, "").profiles(&[])).await;
        assert!(reason.contains("/.aws/credentials is malformed: line "), "{reason}");
        assert!(!reason.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_file_that_is_none_is_told_apart_from_a_missing_one() {
    let home = Home::new("", "");
    let path = home.path(".aws/credentials");
    let reason = async || absence(&home.profiles(&[])).await;

    fs::write(&path, b"[default]\n\xff").unwrap();
    let unreadable = refusal(&home.profiles(&[])).await;
    assert!(unreadable.contains("/.aws/credentials is no UTF-8 text (line 2)"), "{unreadable}");
    fs::remove_file(&path).unwrap();
    assert!(reason().await.contains("/.aws/credentials does not exist"));
    fs::create_dir(&path).unwrap();
    assert!(reason().await.contains("/.aws/credentials is no regular file"));
    fs::remove_dir(&path).unwrap();
    fs::File::create(&path).unwrap().set_len(1024 * 1024 + 1).unwrap();
    let large = refusal(&home.profiles(&[])).await;
    assert!(large.contains("/.aws/credentials is too large"), "{large}");
}

#[tokio::test]
async fn without_a_home_the_error_says_so() {
    let reason = absence(&Profiles::new(&Environment::default(), TIMEOUT)).await;
    assert!(reason.contains("neither HOME nor AWS_SHARED_CREDENTIALS_FILE is set"), "{reason}");
}
