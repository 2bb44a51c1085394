//! `kong-vault check` on a kong.conf and the environment, run as a program.

mod support;

use support::check::Files;

const CONF: &str = r##"# of Kong's
vaults = env, hcvv, bundeled
vault_hcv_tokn = hunter2
vault_hcv_port = hunter2
just a line with hunter2
vault_hcv_ssl_verify = true
vault_hcv_tls_verify = false
vault_env_prefix = hunter2
vault-env-prefix = B_
vault_cache_sise = 3
vault_cache_size = hunter2
vault_fetch_timeout = {vault://env/t}
pg_password = {vault://env/pg}
admin_ssl_cert_key = {vault://aws/k},{vault://env/}
ssl_cert = {vault:/env/hunter2}
vault_hcv_token = {vault://nope/x}
vault_rotation_interval = 60
"##;

#[test]
fn every_kind_of_mistake_in_a_kong_conf_is_named_with_its_line() {
    let files = Files::of(&[("kong.conf", CONF)]);
    let run = files.check(&["kong.conf"], &[("KONG_VAULT_HCV_TOKKN", "hunter2"), ("KONG_VAULT_PORT", "tcp://hunter2")]);
    run.finds(&[
        ("kong.conf:2", "vaults", "error: \"hcvv\" in option vaults"),
        ("kong.conf:2", "vaults", "error: \"bundeled\" in option vaults"),
        ("kong.conf:3", "vault_hcv_tokn", "error: unknown option tokn of the hcv vault"),
        ("kong.conf:4", "vault_hcv_port", "error: must be a whole number from 1 to 65535"),
        ("kong.conf:5", "line", "warning: has no `=`, so Kong skips it"),
        ("kong.conf:7", "vault_hcv_tls_verify", "error: option ssl_verify of the hcv vault is set twice"),
        ("kong.conf:9", "vault_env_prefix", "warning: this key is set twice: this line is used, line 8 is not"),
        ("kong.conf:10", "vault_cache_sise", "error: unknown option vault_cache_sise, set by key vault_cache_sise in"),
        ("kong.conf:11", "vault_cache_size", "error: must be a whole number from 1"),
        ("kong.conf:14", "admin_ssl_cert_key {vault://env/}", "error: reference url has empty path"),
        ("kong.conf:15", "ssl_cert", "warning: looks like a reference but is not one"),
        ("kong.conf:16", "vault_hcv_token {vault://nope/x}", "error: could not find vault (nope)"),
        ("environment", "KONG_VAULT_HCV_TOKKN", "error: unknown option tokkn of the hcv vault"),
    ]);
    run.holds("kong.conf:13 pg_password {vault://env/pg} ok");
    run.holds("kong.conf:12 vault_fetch_timeout {vault://env/t} ok");
    run.holds("kong.conf:14 admin_ssl_cert_key {vault://aws/k} ok");
}

#[test]
fn what_kong_makes_of_a_kong_conf_is_told_where_it_will_surprise() {
    let conf = "vault_hcv_host = \"hunter2.internal\"\nvault_hcv_token = 12345678901234567890\nvault_hcv_namespace = 007\n\
                vault_hcv_port = 08200\nvault_env_prefix = \\\n  A_\npg_password = {vault://env/pg#2}\nexport vault_hcv_kv = v2\n\
                [section]\nvault_hcv_tokn = hunter2\npg_user = {vault://nope/x}\n";
    let files = Files::of(&[
        ("kong.conf", conf),
        ("crlf.conf", "vault_hcv_host = vault.internal\r\nvault_hcv_tokn = hunter2\r\n"),
        ("fatal.conf", "vault_hcv_port = 1\n[\n"),
        ("mark.conf", "\u{feff}vaults = env\nvault_hcv_port = 1\n"),
        ("latin.conf", "placeholder"),
    ]);
    files.check(&["kong.conf"], &[]).finds(&[
        ("kong.conf:1", "vault_hcv_host", "warning: has quotes that are part of its value"),
        ("kong.conf:1", "vault_hcv_host", "error: must be a host name"),
        ("kong.conf:2", "vault_hcv_token", "warning: is a number to Kong, which changes its digits"),
        ("kong.conf:3", "vault_hcv_namespace", "warning: is a number to Kong, which changes its digits"),
        ("kong.conf:7", "pg_password", "warning: ends where a `#` begins a comment"),
        ("kong.conf:7", "pg_password", "warning: looks like a reference but is not one"),
        ("kong.conf:8", "vault_hcv_kv", "warning: is not known to Kong"),
        ("kong.conf:9", "line", "warning: begins a section: Kong skips it, and all keys below it"),
        ("kong.conf:10", "vault_hcv_tokn", "warning: is below a `[section]`"),
        ("kong.conf:11", "pg_user", "warning: is below a `[section]`"),
    ]);
    files.check(&["crlf.conf"], &[]).finds(&[("crlf.conf:2", "vault_hcv_tokn", "error: unknown option")]);
    files.check(&["fatal.conf"], &[]).finds(&[("fatal.conf:2", "line", "error: begins with `[` and names no section")]);
    files.check(&["mark.conf"], &[]).finds(&[("mark.conf:1", "vaults", "warning: is after a byte order mark")]);
    std::fs::write(
        files.0.path().join("latin.conf"),
        b"# caf\xe9\nadmin_gui_url = caf\xe9\nvault_hcv_token = hunter2\xe9\n",
    )
    .unwrap();
    files.check(&["latin.conf"], &[]).finds(&[("latin.conf:3", "vault_hcv_token", "error: is no UTF-8 text")]);
}

#[test]
fn what_an_option_needs_may_stand_anywhere() {
    let files = Files::of(&[
        (
            "role.conf",
            "vault_hcv_kube_role = gateway\nvault_hcv_auth_method = kubernetes\nvault_aws_region = eu-west-1\n",
        ),
        ("method.conf", "vault_hcv_auth_method = approle\nvault_hcv_approle_role_id = {vault://env/role}\n"),
        ("external.conf", "vault_aws_external_id = shop-7\nvault_aws_region = eu-west-1\n"),
        ("alone.conf", "vault_hcv_auth_method = userpass\nvault_hcv_userpass_username = a\nvault_hcv_kv = v2\n"),
    ]);
    let role = [("role", "r")];
    files.check(&["role.conf"], &role).finds(&[]);
    files.check(&["method.conf"], &role).finds(&[]);
    files
        .check(&["external.conf"], &[("KONG_VAULT_AWS_ASSUME_ROLE_ARN", "arn:aws:iam::123456789012:role/g")])
        .finds(&[]);
    files.check(&["role.conf"], &[("KONG_VAULT_HCV_AUTH_METHOD", "jwt"), ("KONG_VAULT_HCV_JWT", "a.b.c")]).finds(&[]);
    files.check(&["role.conf"], &[("KONG_VAULT_HCV_AUTH_METHOD", "cert")]).finds(&[(
        "environment",
        "KONG_VAULT_HCV_AUTH_METHOD",
        "error: auth_method = cert of the hcv vault (hcv) needs",
    )]);
    files.check(&["external.conf"], &[]).finds(&[(
        "external.conf:1",
        "vault_aws_external_id",
        "error: external_id of the aws vault (aws) needs option assume_role_arn, which is missing",
    )]);
    files.check(&["alone.conf"], &[]).finds(&[(
        "alone.conf:1",
        "vault_hcv_auth_method",
        "error: auth_method = userpass of the hcv vault (hcv) needs option userpass_password",
    )]);
}

#[test]
fn an_option_that_is_a_reference_counts_as_set() {
    let conf = "vault_hcv_auth_method = approle\nvault_hcv_approle_role_id = {vault://env/role}\n\
                vault_fs_prefix = {vault://env/role}\npg_password = {vault://hcv/a/b}\npg_user = {vault://fs/a}\n\
                pg_host = {vault://hcv/a/b?hots=c}\n";
    let yaml = "vaults:\n- name: hcv\n  prefix: team\n  config:\n    auth_method: approle\n    approle_role_id: '{vault://env/role}'\n\
                \x20   approle_secret_id: '{vault://env/role}'\na: '{vault://team/a/b}'\nb: '{vault://team/a/b?ttl=soon}'\n";
    let files = Files::of(&[
        ("kong.conf", conf),
        ("own.conf", "pg_password = {vault://hcv/a/b}\npg_user = {vault://fs/a}\n"),
        ("kong.yml", yaml),
    ]);
    // What else is wrong with a reference is found all the same.
    files.check(&["kong.conf"], &[]).finds(&[(
        "kong.conf:6",
        "pg_host {vault://hcv/a/b?hots=c}",
        "error: unknown option hots of the hcv vault",
    )]);
    files.check(&["kong.yml"], &[]).finds(&[(
        "kong.yml:9",
        "b {vault://team/a/b?ttl=soon}",
        "error: value \"soon\" of option ttl",
    )]);
    let variables = [
        ("KONG_VAULT_HCV_APPROLE_ROLE_ID", "{vault://env/role}"),
        ("KONG_VAULT_HCV_AUTH_METHOD", "approle"),
        ("KONG_VAULT_FS_PREFIX", "{vault://env/role}"),
    ];
    files.check(&["own.conf"], &variables).finds(&[]);
}

#[test]
fn certificates_are_verified_where_the_operator_says_so() {
    let entities = r#"{"_format_version": "3.0", "vaults": [
        {"name": "hcv", "prefix": "mine", "config": {"tls_verify": false}},
        {"name": "gcp", "prefix": "fine", "config": {"ssl_verify": true}}]}"#;
    let files = Files::of(&[
        ("on.conf", "vault_hcv_ssl_verify = off\nvault_tls_certificate_verify = on\nvault_aws_tls_verify = on\n"),
        ("off.conf", "vault_hcv_tls_skip_verify = on\ndeclarative_config = kong.json\n"),
        ("kongs.conf", "tls_certificate_verify = on\nvaults_lazy_load_secrets = on\n"),
        ("kong.json", entities),
    ]);
    let (on, why) =
        (("KONG_TLS_CERTIFICATE_VERIFY", "on"), "error: must be true, because tls_certificate_verify is on");
    files.check(&["on.conf"], &[]).finds(&[("on.conf:1", "vault_hcv_ssl_verify", why)]);
    // Whichever of the two stands where.
    files
        .check(&["on.conf"], &[("KONG_VAULT_AWS_SSL_VERIFY", "off")])
        .finds(&[("on.conf:1", "vault_hcv_ssl_verify", why), ("environment", "KONG_VAULT_AWS_SSL_VERIFY", why)]);
    files.check(&["on.conf"], &[("KONG_TLS_CERTIFICATE_VERIFY", "off")]).finds(&[]);
    files.check(&["off.conf"], &[]).finds(&[]);
    files.check(&["off.conf"], &[on]).finds(&[
        ("off.conf:1", "vault_hcv_tls_skip_verify", "error: must be false, because tls_certificate_verify is on"),
        ("kong.json:2", "vault mine: config.tls_verify", why),
    ]);
    files.check(&["kong.json"], &[on]).finds(&[("kong.json:2", "vault mine: config.tls_verify", why)]);
    // Most Kongs drop these.
    files.check(&["kongs.conf"], &[]).finds(&[
        ("kongs.conf:1", "tls_certificate_verify", "warning: is dropped by Kong before 3.13"),
        ("kongs.conf:2", "vaults_lazy_load_secrets", "warning: is dropped by Kong before 3.11"),
    ]);
}
