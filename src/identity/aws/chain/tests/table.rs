//! Which key, roles and host a request uses for given profile files: the same as botocore 1.44. The cases are facts of
//! the suites of smithy-rs (`profile-parser-tests.json`, `assume-role-tests.json`) and botocore (`tests/unit/cfg`,
//! `tests/unit/test_credentials.py`, `tests/functional/configured_endpoint_urls/profile-tests.json`), both under
//! Apache-2.0, and of files that people write.

use super::*;
use crate::identity::aws::SECRETS_MANAGER;
use crate::identity::aws::profile::{Base, SourceChain, Unfit};

struct Files {
    home: tempfile::TempDir,
}

impl Files {
    fn new(config: &[u8], credentials: &[u8]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        for (name, text) in [("config", config), ("credentials", credentials)] {
            if !text.is_empty() {
                std::fs::write(home.path().join(".aws").join(name), text).unwrap();
            }
        }
        Self { home }
    }

    /// `AKID, ROLE at host`, or the error. `next at host`: the profile has no credentials, and the next source is
    /// asked.
    async fn shows(&self, variables: &[(&str, &str)]) -> String {
        let home = [("HOME", self.home.path().to_str().unwrap())];
        let environment = Environment::from_variables(home.into_iter().chain(variables.iter().copied()));
        let transport = Transport::new("aws vault (mine)".to_owned(), &environment, Duration::from_secs(5));
        match self.request(&transport).await {
            Ok(shown) => shown,
            Err(error) => error.to_string().replace(self.home.path().to_str().unwrap(), "~"),
        }
    }

    async fn request(&self, transport: &Transport<'_>) -> Result<String> {
        let secrets = Endpoint::choose(transport, &SECRETS_MANAGER, None)?;
        let chain = Chain::new(wanted(transport), Clock::default())?;
        let context = chain.context().await?;
        let url = context.locate(&secrets)?.url;
        let host = url.split('/').nth(2).unwrap_or_default();
        let mut who = match &context.profile.source_chain {
            Ok(SourceChain { base: Base::AccessKeys(login), .. }) => {
                login.identity.data::<Credentials>().unwrap().access_key_id().to_owned()
            }
            Ok(SourceChain { base: Base::Process(_), .. }) => "program".to_owned(),
            Ok(SourceChain { base: Base::WebIdentity(_), .. }) => "token".to_owned(),
            Ok(SourceChain { base: Base::Named(named), .. }) => format!("{named:?}"),
            Ok(SourceChain { base: Base::SignOn(_), .. }) => "person".to_owned(),
            Err(Unfit::Absent(_)) => "next".to_owned(),
            Err(Unfit::Broken(reason)) => return Err(Error::new(Kind::Config, reason.clone())),
        };
        for role in context.profile.source_chain.iter().flat_map(|source_chain| &source_chain.roles) {
            let (sts, _) = chain.sts(&context.region).await?;
            let host = sts.split('/').nth(2).unwrap_or_default();
            who += &format!(", {} by {host}", role.arn);
        }
        Ok(format!("{who} at {host}"))
    }
}

async fn check(config: &str, credentials: &str, variables: &[(&str, &str)], expected: &str) {
    let shown = Files::new(config.as_bytes(), credentials.as_bytes()).shows(variables).await;
    let is_right = if expected.contains(" at ") { shown == expected } else { shown.contains(expected) };
    assert!(is_right, "{config}\n{credentials}\n{shown}\nand not: {expected}");
}

const KEYS: &str = "region = us-west-2\naws_access_key_id = AKID\naws_secret_access_key = hunter2\n";
const THERE: &str = "AKID at secretsmanager.us-west-2.amazonaws.com";

#[tokio::test]
async fn a_section_is_found_by_the_name_that_the_command_line_makes_of_it() {
    for (section, name) in [
        ("[profile a]", "a"),
        ("[profile\ta]", "a"),
        ("[profile \ta \t]", "a"),
        ("[profile \"a\"]", "a"),
        ("[profile 'a']", "a"),
        ("[profile \"my prof\"]", "my prof"),
        ("[profile my\\ prof]", "my prof"),
        ("[profile a] # a comment", "a"),
        ("[profile a]; a comment", "a"),
        ("[profile a] text", "a"),
        ("[profile some-thing:long/the_one%only.foo@bar+]", "some-thing:long/the_one%only.foo@bar+"),
        ("[profile a!b]", "a!b"),
        ("[profile größe]", "größe"),
        ("[default]", "default"),
        ("[profile default]", "default"),
    ] {
        check(&format!("{section}\n{KEYS}"), "", &[("AWS_PROFILE", name)], THERE).await;
    }
    for (section, name) in [("[a]", "a"), ("[my prof]", "my prof"), ("[profile a]", "profile a"), ("[a] # text", "a")] {
        check("", &format!("{section}\n{KEYS}"), &[("AWS_PROFILE", name)], THERE).await;
    }
    for (config, credentials, name, part) in [
        ("[a]", "", "a", "config, line 1, has [a]: write [profile a]"),
        ("[profile my prof]", "", "my prof", "line 1, has no quotes: write [profile \"my prof\"]"),
        ("", "[profile a]", "a", "credentials, line 1, has [profile a]: write [a]"),
        ("[   profile a   ]", "", "a", "config, line 1, has a space before the name"),
        ("", "[   a   ]", "a", "credentials, line 1, has a space before the name"),
        ("\n[profile production]", "", "prodction", "config, line 2, has production"),
        ("[profile Prod]", "", "prod", "config, line 1, has Prod"),
        ("[profile \"a]", "", "a", "profile a (AWS_PROFILE) is not found"),
        ("[profilea]", "", "a", "profile a (AWS_PROFILE) is not found"),
        ("[profile]", "", "a", "~/.aws/credentials does not exist"),
    ] {
        let fill = |section: &str| if section.is_empty() { String::new() } else { format!("{section}\n{KEYS}") };
        let environment = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "us-east-1")];
        let variables = [&[("AWS_PROFILE", name)][..], &environment].concat();
        check(&fill(config), &fill(credentials), &variables, part).await;
    }
}

#[tokio::test]
async fn keys_are_read_as_the_command_line_reads_them() {
    for body in [
        "  region = us-west-2\n  aws_access_key_id = AKID\n  aws_secret_access_key = hunter2\n",
        "\tregion = us-west-2\n\taws_access_key_id = AKID\n\taws_secret_access_key = hunter2\n",
        "    region = us-west-2\n  aws_access_key_id = AKID\n aws_secret_access_key = hunter2\n",
        "region: us-west-2\naws_access_key_id : AKID\naws_secret_access_key:hun=ter:2\n",
        "REGION = us-west-2\nAws_Access_Key_Id = AKID\nAWS_SECRET_ACCESS_KEY = hunter2\n",
        "region \t=  \tus-west-2 \t\naws_access_key_id=AKID\naws_secret_access_key=hunter2",
        "region = us-west-2\r\naws_access_key_id = AKID\r\naws_secret_access_key = hunter2\r\n",
        "region = us-west-2\raws_access_key_id = AKID\raws_secret_access_key = hunter2\r",
        "# x\nregion = us-west-2\n  ; y\naws_access_key_id = AKID\n\t \naws_secret_access_key = hunter2\n",
        "s3 =\n  max_queue_size = 100\n\n  # x\n  name =\nregion = us-west-2\naws_access_key_id = \
         AKID\naws_secret_access_key = h\n",
        "in valid = x\nregion = us-west-2\naws_access_key_id = AKID\naws_secret_access_key = hunter2\n",
        // As the SDKs do, and not botocore: text after a blank and `#` or `;` is a comment.
        "region = us-west-2 # x\naws_access_key_id = AKID ; x\naws_secret_access_key = hunter2\n",
    ] {
        check(&format!("[profile a]\n{body}"), "", &[("AWS_PROFILE", "a")], THERE).await;
    }
    check("[DEFAULT]\nregion=us-west-2\n[default]\naws_access_key_id=AKID\naws_secret_access_key=s\n", "", &[], THERE)
        .await;
    let two = format!("[default]\nregion=eu-west-1\n[profile default]\n{KEYS}");
    check(&two, "", &[], THERE).await;
    let begun = "aws_access_key_id = A#B\naws_secret_access_key = x\nregion = us-west-2\n";
    check(&format!("[default]\n{begun}"), "", &[], "A#B at secretsmanager.us-west-2.amazonaws.com").await;
}

#[tokio::test]
async fn what_is_malformed_names_file_and_line_and_nothing_of_it() {
    let environment = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_REGION", "us-east-1")];
    for (text, part) in [
        ("hunter2 = x\n", "line 1 is above the first section"),
        (" -hunter2\n", "line 1 is above the first section"),
        ("\n[default\nhunter2 = x\n", "line 2 begins a section whose name has no `]`"),
        ("[default]\nhunter2\n", "line 2 has no `=` between a key and its value"),
        ("[default]\n[]\n", "line 2 has no `=` between a key and its value"),
        ("[default]\n -hunter2\n", "line 2 has no `=` between a key and its value"),
        ("[default]\n= hunter2\n", "line 2 has no key before its `=`"),
        ("[default]\na = b\n[b]\n\n[default]\n", "line 5 begins again the section of line 1"),
        ("[default]\nA = hunter2\nb = c\na = hunter2\n", "line 4 repeats the key of line 2"),
        (
            "[default]\naws_secret_access_key =\n  hunter2\n",
            "line 3 is indented below the key of line 2, and has no `=`",
        ),
        ("[other]\ns3 =\n  a = b\n  hunter2\n", "line 4 is indented below the key of line 2"),
    ] {
        for (config, credentials, name) in [(text, "", "config"), ("", text, "credentials")] {
            let shown = Files::new(config.as_bytes(), credentials.as_bytes()).shows(&environment).await;
            let whole = format!("aws vault (mine): ~/.aws/{name} is malformed: {part}");
            assert!(shown.starts_with(&whole) && !shown.contains("hunter2"), "{text}: {shown}");
        }
    }
    let shown = Files::new(b"[default]\n\n# caf\xe9 hunter2\n", b"").shows(&environment).await;
    assert!(shown.starts_with("aws vault (mine): ~/.aws/config is no UTF-8 text (line 3)"), "{shown}");
}

#[tokio::test]
async fn whose_keys_and_which_roles() {
    let a = [("AWS_PROFILE", "a")];
    let region = "region = us-west-2\n";
    let at = "at secretsmanager.us-west-2.amazonaws.com";
    let sts = "sts.us-west-2.amazonaws.com";
    let keys = |id: &str| format!("aws_access_key_id = {id}\naws_secret_access_key = s\n");
    let (one, two, three) = (keys("ONE"), keys("TWO"), keys("THREE"));
    for (config, credentials, expected) in [
        (
            format!("[profile a]\n{region}role_arn=A\nsource_profile=b\n[profile b]\n{two}"),
            "",
            format!("TWO, A by {sts} {at}"),
        ),
        (
            format!("[profile a]\n{region}{one}role_arn=A\nsource_profile=b\n[profile b]\n{two}"),
            "",
            format!("TWO, A by {sts} {at}"),
        ),
        (format!("[profile a]\n{region}{one}role_arn=A\nsource_profile=a\n"), "", format!("ONE, A by {sts} {at}")),
        (
            format!(
                "[profile a]\n{region}role_arn=A\nsource_profile=b\n[profile \
                 b]\nrole_arn=B\nsource_profile=c\n[profile c]\n{three}"
            ),
            "",
            format!("THREE, B by {sts}, A by {sts} {at}"),
        ),
        (
            format!(
                "[profile a]\n{region}{one}role_arn=A\nsource_profile=b\n[profile \
                 b]\n{two}role_arn=B\nsource_profile=c\n[profile c]\n{three}"
            ),
            "",
            format!("TWO, A by {sts} {at}"),
        ),
        (
            format!("[profile a]\n{region}role_arn=A\nsource_profile=default\n"),
            "[default]\naws_access_key_id=D\naws_secret_access_key=s\n",
            format!("D, A by {sts} {at}"),
        ),
        (
            format!("[profile a]\n{region}role_arn=A\ncredential_source=EcsContainer\n"),
            "",
            format!("Container, A by {sts} {at}"),
        ),
        (format!("[profile a]\n{region}role_arn=A\nweb_identity_token_file=/t\n"), "", format!("token {at}")),
        (
            format!(
                "[profile a]\n{region}role_arn=A\nsource_profile=b\n[profile \
                 b]\nrole_arn=B\nweb_identity_token_file=/t\n"
            ),
            "",
            format!("token, A by {sts} {at}"),
        ),
        // A program has priority over the config file's keys, and the credentials file's keys have priority over a
        // program.
        (format!("[profile a]\n{region}credential_process=/p\n{one}"), "", format!("program {at}")),
        (
            format!("[profile a]\n{region}credential_process=/p\n"),
            "[a]\naws_access_key_id=C\naws_secret_access_key=s\n",
            format!("C {at}"),
        ),
        (
            format!("[profile a]\n{region}{one}"),
            "[a]\naws_access_key_id=C\naws_secret_access_key=s\n",
            format!("C {at}"),
        ),
        (format!("[profile a]\n{region}{one}"), "[a]\naws_secret_access_key=s\n", format!("ONE {at}")),
        (
            format!("[profile a]\n{region}aws_secret_access_key=s\n"),
            "[a]\naws_access_key_id=C\n",
            "it has no aws_secret_access_key".to_owned(),
        ),
        // A profile that has only settings leaves the credentials to the next source.
        (format!("[profile a]\n{region}"), "", format!("next {at}")),
        (
            format!("[profile a]\n{region}output = json\n"),
            "[b]\naws_access_key_id=C\naws_secret_access_key=s\n",
            format!("next {at}"),
        ),
        (String::new(), "[a]\nregion = us-west-2\n", format!("next {at}")),
        (format!("[profile a]\n{region}source_profile = b\n[profile b]\n{two}"), "", format!("next {at}")),
        (
            format!("[profile a]\n{region}sso_session=x\n[sso-session x]\nsso_region=r\nsso_start_url=u\n"),
            "",
            format!("next {at}"),
        ),
        (format!("[profile a]\n{region}sso_session=gone\n"), "", "its sso_session gone is not found".to_owned()),
        (
            format!(
                "[profile a]\n{region}sso_session=x\nsso_region=s\nsso_account_id=1\nsso_role_name=r\n[sso-session \
                 x]\nsso_region=r\n"
            ),
            "",
            "its sso_region is not that of its sso_session x".to_owned(),
        ),
    ] {
        check(&config, credentials, &a, &expected).await;
    }
    let both = format!("[profile a]\n{region}{one}[profile b]\nregion = eu-west-1\n{two}");
    check(&both, "", &[("AWS_DEFAULT_PROFILE", "b")], "TWO at secretsmanager.eu-west-1.amazonaws.com").await;
    check(
        &both,
        "",
        &[("AWS_DEFAULT_PROFILE", "b"), ("AWS_PROFILE", "a")],
        "TWO at secretsmanager.eu-west-1.amazonaws.com",
    )
    .await;
}

#[tokio::test]
async fn a_request_goes_where_the_profile_says() {
    let services = "[services mine]\nsecrets_manager =\n  endpoint_url = https://narrow.example\nsts =\n  endpoint_url = https://sts.example\n\
        [services other]\ns3 =\n  endpoint_url = https://s3.example\n[services flat]\nsecrets_manager = https://narrow.example\n\
        [services \"in two words\"]\nsecrets_manager =\n  # here\n  endpoint_url=https://words.example\n";
    let public = "secretsmanager.us-west-2.amazonaws.com";
    let (wide, narrow) = (
        ("AWS_ENDPOINT_URL", "https://wide-variable.example"),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", "https://narrow-variable.example"),
    );
    let ignore = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    let honor = ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false");
    let all = "endpoint_url = https://wide.example\nservices = mine\n";
    for (lines, variables, host) in [
        ("", &[][..], public),
        ("endpoint_url = https://wide.example\n", &[], "wide.example"),
        ("endpoint_url =\n", &[], public),
        ("services = mine\n", &[], "narrow.example"),
        ("services = in two words\n", &[], "words.example"),
        ("services = other\n", &[], public),
        (all, &[], "narrow.example"),
        (all, &[wide], "wide-variable.example"),
        (all, &[narrow], "narrow-variable.example"),
        (all, &[wide, narrow], "narrow-variable.example"),
        (all, &[wide, ignore], public),
        (all, &[honor], "narrow.example"),
        ("services = mine\nignore_configured_endpoint_urls = true\n", &[], public),
        ("services = mine\nignore_configured_endpoint_urls = true\n", &[wide], public),
        ("services = mine\nignore_configured_endpoint_urls = True\n", &[honor], "narrow.example"),
        ("endpoint_url = https://wide.example\nignore_configured_endpoint_urls = false\n", &[], "wide.example"),
        ("services = gone\nignore_configured_endpoint_urls = true\n", &[], public),
        ("services = gone\n", &[wide], "wide-variable.example"),
        ("use_fips_endpoint = true\n", &[], "secretsmanager-fips.us-west-2.amazonaws.com"),
    ] {
        let config = format!("[default]\n{lines}{KEYS}{services}");
        check(&config, "", variables, &format!("AKID at {host}")).await;
        // The file sets the host, also where the credentials are from the environment.
        let environment = [&[("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s")], variables].concat();
        check(&config, "", &environment, &format!("AKID at {host}")).await;
    }
    for (lines, part) in [
        ("services = gone\n", "config, line 2) names a section that does not exist: add [services gone]"),
        ("services = flat\n", "secrets_manager has a value: put endpoint_url into a line below, indented"),
        ("\nendpoint_url = hunter2\n", "endpoint_url of profile default (~/.aws/config, line 3) is no URL of a server"),
        ("endpoint_url = https://x\n aws_secret_access_key = hunter2\n", "line 2) continues in an indented line"),
        ("ca_bundle = /ca.pem\n", "ca_bundle of profile default (~/.aws/config, line 2)"),
        (
            "endpoint_url = https://x\nuse_fips_endpoint = true\n",
            "endpoint_url of profile default (~/.aws/config, line 2) sets another",
        ),
    ] {
        let shown = Files::new(format!("[default]\n{lines}{KEYS}{services}").as_bytes(), b"").shows(&[]).await;
        assert!(shown.contains(part) && !shown.contains("hunter2"), "{lines}: {shown}");
    }
    let role = "role_arn=A\nsource_profile=b\n[profile b]\naws_access_key_id=AKID\naws_secret_access_key=s\nendpoint_url=https://unheeded.example\n";
    for (lines, variables, expected) in [
        ("services = mine\n", &[][..], "AKID, A by sts.example at narrow.example".to_string()),
        ("endpoint_url = https://wide.example\n", &[], "AKID, A by wide.example at wide.example".to_owned()),
        ("sts_regional_endpoints = legacy\n", &[], format!("AKID, A by sts.amazonaws.com at {public}")),
        (
            "sts_regional_endpoints = legacy\n",
            &[("AWS_STS_REGIONAL_ENDPOINTS", "regional")],
            format!("AKID, A by sts.us-west-2.amazonaws.com at {public}"),
        ),
        ("", &[("AWS_STS_REGIONAL_ENDPOINTS", "legacy")], format!("AKID, A by sts.amazonaws.com at {public}")),
        (
            "",
            &[("AWS_STS_REGIONAL_ENDPOINTS", "both")],
            "AWS_STS_REGIONAL_ENDPOINTS is neither legacy nor regional".to_owned(),
        ),
    ] {
        check(&format!("[default]\nregion=us-west-2\n{lines}{role}{services}"), "", variables, &expected).await;
    }
    let far = format!("[default]\nregion=af-south-1\nsts_regional_endpoints=legacy\n{role}");
    check(&far, "", &[], "AKID, A by sts.af-south-1.amazonaws.com at secretsmanager.af-south-1.amazonaws.com").await;
}

#[tokio::test]
async fn a_region_that_is_lost_is_missed_with_its_reason() {
    use std::os::unix::fs::PermissionsExt;
    let no_region = "no region: set the option region";
    check("", "", &[], "~/.aws/config does not exist)").await;
    check("[default]\n", "", &[], no_region).await;
    check(
        "[default]\nregion = us_west\n",
        "",
        &[],
        "region from region of profile default (~/.aws/config, line 2) is not a region's name",
    )
    .await;
    check("[Default]\nregion = us-west-2\n", "", &[], "(~/.aws/config, line 1, has Default, ").await;
    check(
        "[default]\nregion = us-west-2\n output = json\n",
        "",
        &[],
        "(~/.aws/config, line 2) continues in an indented line",
    )
    .await;
    let closed = Files::new(b"[default]\nregion = us-west-2\n", b"");
    let file = closed.home.path().join(".aws/config");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o0)).unwrap();
    // Root can read it nevertheless.
    if std::fs::read(&file).is_err() {
        let shown = closed.shows(&[]).await;
        assert!(
            shown.contains(no_region) && shown.contains("~/.aws/config is not readable by this process's user"),
            "{shown}"
        );
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let shown = closed.shows(&[]).await;
    assert!(shown.contains(no_region) && shown.contains("~/.aws/config is no regular file"), "{shown}");
}
