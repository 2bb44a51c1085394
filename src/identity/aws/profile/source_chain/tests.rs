use super::*;
use crate::identity::aws::profile::ini;
use aws_credential_types::Credentials;

async fn source_chain_of(config: &str, name: &'static str) -> Result<SourceChain, Unfit> {
    let sections = ini::parse(config).unwrap_or_else(|malformed| panic!("{malformed:?}"));
    let profiles = ProfileSet::new(Vec::new(), sections);
    build(&profiles, profiles.profile(name).unwrap())
}

async fn resolved(config: &str) -> SourceChain {
    source_chain_of(config, "a").await.unwrap_or_else(|unfit| panic!("{unfit:?}"))
}

fn id(source_chain: &SourceChain) -> String {
    let Base::AccessKeys(login) = &source_chain.base else { panic!("no keys") };
    login.identity.data::<Credentials>().unwrap().access_key_id().to_owned()
}

fn roles(source_chain: &SourceChain) -> Vec<&str> {
    source_chain.roles.iter().map(|role| role.arn.as_str()).collect()
}

const KEYS: &str = "aws_access_key_id = AKID\naws_secret_access_key = hunter2\n";

#[tokio::test]
async fn roles_are_assumed_one_by_the_other_from_the_source_up() {
    let source_chain = resolved(&format!(
        "[profile a]\nrole_arn = A\nsource_profile = b\nexternal_id = x\nrole_session_name = me\nduration_seconds = 900\n\
         [profile b]\nrole_arn = B\nsource_profile = c\n[profile c]\n{KEYS}"
    ))
    .await;
    assert_eq!((id(&source_chain).as_str(), source_chain.origin.as_str()), ("AKID", "profile c"));
    assert_eq!(roles(&source_chain), ["B", "A"]);
    let [first, last] = source_chain.roles.as_slice() else { panic!("two roles") };
    assert_eq!((first.session.as_str(), first.external_id.as_deref(), first.duration), ("KongVault", None, None));
    assert_eq!((last.session.as_str(), last.external_id.as_deref(), last.duration), ("me", Some("x"), Some(900)));
}

#[tokio::test]
async fn a_source_with_keys_needs_no_role_and_a_profile_may_be_its_own_source() {
    let config =
        format!("[profile a]\nrole_arn=A\nsource_profile=b\n[profile b]\nrole_arn=B\nsource_profile=c\n{KEYS}");
    let source_chain = resolved(&config).await;
    assert_eq!((id(&source_chain).as_str(), roles(&source_chain)), ("AKID", vec!["A"]));
    let source_chain = resolved(&format!("[profile a]\nrole_arn=A\nsource_profile=a\n{KEYS}")).await;
    assert_eq!((id(&source_chain).as_str(), roles(&source_chain)), ("AKID", vec!["A"]));
}

#[tokio::test]
async fn each_way_to_begin() {
    for (source, named) in [
        ("Environment", Named::Environment),
        ("EcsContainer", Named::Container),
        ("ec2instancemetadata", Named::Metadata),
    ] {
        let source_chain = resolved(&format!("[profile a]\nrole_arn=A\ncredential_source={source}\n")).await;
        assert!(matches!(source_chain.base, Base::Named(found) if found == named), "{source}");
        assert_eq!(roles(&source_chain), ["A"]);
    }
    let token = resolved("[profile a]\nrole_arn=A\nrole_session_name=me\nweb_identity_token_file=/t\n").await;
    let Base::WebIdentity(WebIdentity { token_file, role }) = &token.base else { panic!("no token") };
    assert_eq!((token_file.to_str(), role.arn.as_str(), role.session.as_str()), (Some("/t"), "A", "me"));
    assert!(token.roles.is_empty());
    let process = resolved("[profile a]\ncredential_process = /bin/x --y \"z\"\n").await;
    assert!(matches!(&process.base, Base::Process(command) if **command == "/bin/x --y \"z\""));
    // The priority is that of AWS's command line: the credentials file's keys, a program, the config file's keys.
    let both = format!("credential_process = /bin/x\n{KEYS}");
    assert!(matches!(resolved(&format!("[profile a]\n{both}")).await.base, Base::Process(_)));
    let profiles = ProfileSet::new(ini::parse(&format!("[a]\n{both}")).unwrap(), Vec::new());
    assert_eq!(id(&build(&profiles, profiles.profile("a").unwrap()).ok().unwrap()), "AKID");
}

#[tokio::test]
async fn signing_on_with_a_session_and_in_the_old_way() {
    let session = resolved(
        "[profile a]\nsso_session=corp\nsso_account_id=1\nsso_role_name=r\nregion=us-east-1\n\
         [sso-session corp]\nsso_region=eu-west-1\nsso_start_url=https://x/start\n",
    )
    .await;
    let wanted = |name: &str| SignOn {
        session: name.to_owned(),
        region: "eu-west-1".to_owned(),
        account: "1".to_owned(),
        role: "r".to_owned(),
    };
    assert!(matches!(&session.base, Base::SignOn(found) if *found == wanted("corp")));
    let old = resolved(
        "[profile a]\nsso_start_url=https://x/start\nsso_region=eu-west-1\nsso_account_id=1\nsso_role_name=r\n",
    )
    .await;
    assert!(matches!(&old.base, Base::SignOn(found) if *found == wanted("https://x/start")));
}

#[tokio::test]
async fn what_cannot_be_used_says_why_and_ends_the_search() {
    for (config, part) in [
        ("aws_access_key_id=hunter2\n", "it has no aws_secret_access_key"),
        ("aws_secret_access_key=hunter2\n", "it has no aws_access_key_id"),
        ("aws_access_key_id=A\naws_secret_access_key=hunter2\naws_session_token=a b\n", "cannot be sent"),
        ("role_arn=A\n", "neither source_profile nor credential_source"),
        ("role_arn=A\nsource_profile=b\ncredential_source=Environment\n", "both source_profile and credential_source"),
        ("role_arn=A\nsource_profile=nobody\n", "its source_profile nobody is not found"),
        ("role_arn=A\nsource_profile=b\n[profile b]\n", "its source_profile b: it has no credentials"),
        ("role_arn=A\nsource_profile=b\n[profile b]\nrole_arn=B\nsource_profile=a\n", "in a circle to a"),
        ("role_arn=A\nsource_profile=a\n", "is its own source_profile, and has no keys"),
        ("role_arn=A\nsource_profile=b\nmfa_serial=x\n", "mfa_serial"),
        ("role_arn=A\nsource_profile=b\nduration_seconds=long\n", "duration_seconds is no number"),
        ("role_arn=A\ncredential_source=hunter2\n", "credential_source is not Environment"),
        ("web_identity_token_file=/x\n", "web_identity_token_file and no role_arn"),
        ("sso_session=corp\nsso_account_id=1\nsso_role_name=r\n", "its sso_session corp is not found"),
        ("sso_start_url=x\nsso_region=eu-west-1\nsso_role_name=r\n", "no sso_account_id"),
        ("login_session=x\n", "login_session, which is not supported"),
    ] {
        let unfit = source_chain_of(&format!("[profile a]\n{config}"), "a").await.err();
        let Some(Unfit::Broken(reason)) = unfit else { panic!("{config}: {unfit:?}") };
        assert!(reason.contains(part) && !reason.contains("hunter2"), "{part:?} is not in {reason:?}");
    }
}

#[tokio::test]
async fn no_value_that_goes_on_in_an_indented_line_is_used_or_shown() {
    let key = "  aws_secret_access_key = hunter2\n";
    for (config, name) in [
        (format!("role_arn=A\nsource_profile = base\n{key}"), "source_profile"),
        (format!("role_arn=A\nsource_profile =\n{key}"), "source_profile"),
        (format!("role_arn = arn:aws:iam::1:role/r\n{key}source_profile = b\n"), "role_arn"),
        (format!("role_arn=A\nsource_profile=b\nrole_session_name = me\n\t{key}"), "role_session_name"),
        (format!("role_arn=A\nsource_profile=b\nexternal_id = x\n{key}"), "external_id"),
        (format!("role_arn=A\nsource_profile=b\nduration_seconds = 900\n{key}"), "duration_seconds"),
        (format!("role_arn=A\nsource_profile=b\n[profile b]\nregion = x\n{key}"), "region"),
        (format!("role_arn=A\ncredential_source = Environment\n{key}"), "credential_source"),
        (format!("credential_process = /bin/echo\n{key}"), "credential_process"),
        (format!("web_identity_token_file = /token\n{key}role_arn=A\n"), "web_identity_token_file"),
        (format!("sso_session = corp\n{key}sso_account_id=1\nsso_role_name=r\n"), "sso_session"),
        (format!("sso_start_url = https://x\n{key}sso_region=r\nsso_account_id=1\nsso_role_name=r\n"), "sso_start_url"),
        (
            format!("sso_session=corp\nsso_account_id=1\nsso_role_name=r\n[sso-session corp]\nsso_region = r\n{key}"),
            "sso_region",
        ),
    ] {
        let unfit = source_chain_of(&format!("[profile a]\n{config}"), "a").await.err();
        let Some(Unfit::Broken(reason)) = unfit else { panic!("{config}: {unfit:?}") };
        let part = format!("{name} ");
        assert!(reason.contains(&part) && reason.contains("continues in an indented line"), "{config}: {reason}");
        assert!(!reason.contains("hunter2") && !reason.contains('\n'), "{reason}");
    }
}
