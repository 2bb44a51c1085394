//! `kong-vault check` on what Kong reads otherwise than we do, and on what is Kong's own business; and that it passes no file
//! that a loader refuses.

mod support;

use kong_vault::backend::registry::ALL;
use kong_vault::config::declarative;
use kong_vault_cli::check::look_at;
use proptest::prelude::*;
use support::check::Files;

#[test]
fn values_of_a_type_that_kong_refuses_are_told() {
    let yaml = "vaults:\n- prefix: hv\n  name: hcv\n  config:\n    port: \"8200\"\n    ssl_verify: \"true\"\n    token: 5\n    \
                no_proxy: \"a,b\"\n    tls_min_version: 1.2\n- prefix: ee\n  name: env\n  config:\n    prefix: 5\n    ttl: 5\n    \
                base64_decode: true\n- {prefix: ok, name: hcv, config: {port: 8200.0, ssl_verify: yes, token: '5'}}\n\
                a: ['{vault://hv/a/b}', '{vault://ee/a}']\n";
    let files = Files::of(&[("kong.yml", yaml)]);
    let run = files.check(&["kong.yml"], &[]);
    run.finds(&[
        ("kong.yml:5", "vault hv: config.port", "error: is a text, where Kong's schema wants a whole number: write it"),
        (
            "kong.yml:6",
            "vault hv: config.ssl_verify",
            "error: is a text, where Kong's schema wants a boolean: write true",
        ),
        (
            "kong.yml:7",
            "vault hv: config.token",
            "error: is a number, where Kong's schema wants a text: put it in quotes",
        ),
        ("kong.yml:8", "vault hv: config.no_proxy", "error: is a text, where Kong's schema wants a list: write [a, b]"),
        ("kong.yml:9", "vault hv: config.tls_min_version", "error: is a number, where Kong's schema wants a text"),
        ("kong.yml:13", "vault ee: config.prefix", "error: is a number, where Kong's schema wants a text"),
        ("kong.yml:14", "vault ee: config.ttl", "error: is no option of env in Kong 3.9, whose own that vault is"),
        ("kong.yml:15", "vault ee: config.base64_decode", "error: is no option of env in Kong 3.9"),
    ]);
    // Whoever loads it minds none of that.
    run.holds("kong.yml:17 a[0] {vault://hv/a/b} ok");
    run.holds("kong.yml:17 a[1] {vault://ee/a} ok");
    let loaded = declarative::parse_text("kong.yml", yaml, ALL).unwrap();
    assert_eq!((loaded.entities.len(), loaded.broken.len()), (3, 0));
}

#[test]
fn an_id_is_there_once() {
    let entity = |prefix: &str, id: &str| format!("- {{prefix: {prefix}, name: env, id: {id}}}\n");
    let (one, other) = ("5f1f9f7c-6c1a-4c55-9d58-3d2c7f3d2b11", "5f1f9f7c-6c1a-4c55-9d58-3d2c7f3d2b12");
    let yaml =
        format!("vaults:\n{}{}{}a: '{{vault://cc/a}}'\n", entity("aa", one), entity("bb", other), entity("cc", one));
    let run = Files::of(&[("kong.yml", &yaml)]).check(&["kong.yml"], &[]);
    run.finds(&[(
        "kong.yml:4",
        "vault cc: id",
        "error: this id is set twice, which Kong refuses: the entity in line 2",
    )]);
    run.holds("kong.yml:5 a {vault://cc/a} ok");
}

#[test]
fn what_kongs_format_allows_everywhere_costs_no_entity() {
    let yaml = "_comment: x\nvaults:\n- {prefix: aa, name: env, _comment: hi, _ignore: [1, {a: b}]}\n\
                - {prefix: bb, name: env, config: []}\n- {prefix: cc, name: hcv, name: env}\n\
                - {prefix: dd, name: env, config: {prefix: a, prefix: B_}}\n- {prefix: xx, prefix: ee, name: env, tags: {}}\n\
                - {prefix: ff, name: hcv, config: {no_proxy: {}, redirect_hosts: []}}\n";
    let json = "{\"vaults\":[{\"prefix\":\"aa\",\"name\":\"env\",\"_comment\":\"x\",\"_ignore\":[]},\
                {\"prefix\":\"bb\",\"name\":\"env\",\"config\":[]},\n{\"prefix\":\"cc\",\"name\":\"hcv\",\"name\":\"env\"},\
                {\"prefix\":\"dd\",\"name\":\"env\",\"config\":{},\"config\":{\"prefix\":\"B_\"}}]}";
    let files = Files::of(&[("kong.yml", yaml), ("kong.json", json)]);
    let twice = |what| move |line| (line, what, "warning: this key is set twice: this line is used");
    files.check(&["kong.yml"], &[]).finds(&[
        twice("vaults[2].name")("kong.yml:5"),
        twice("vaults[3].config.prefix")("kong.yml:6"),
        twice("vaults[4].prefix")("kong.yml:7"),
    ]);
    files
        .check(&["kong.json"], &[])
        .finds(&[twice("vaults[2].name")("kong.json:2"), twice("vaults[3].config")("kong.json:2")]);
    let prefixes = |name: &str, text: &str| {
        let loaded = declarative::parse_text(name, text, ALL).unwrap();
        assert_eq!(loaded.broken.len(), 0, "{:?}", loaded.broken);
        let entities = loaded.entities.into_iter();
        entities
            .map(|entity| format!("{}={}", entity.prefix, entity.config.get("prefix").map_or("", |it| it)))
            .collect()
    };
    let found: Vec<String> = prefixes("kong.yml", yaml);
    assert_eq!(found, ["aa=", "bb=", "cc=", "dd=B_", "ee=", "ff="]);
    let found: Vec<String> = prefixes("kong.json", json);
    assert_eq!(found, ["aa=", "bb=", "cc=", "dd=B_"]);
    let bad = "vaults:\n- {prefix: aa, name: env, _comment: 5, _ignore: x}\n- {prefix: bb, name: env, _coment: x}\n";
    Files::of(&[("kong.yml", bad)]).check(&["kong.yml"], &[]).finds(&[
        ("kong.yml:2", "vault aa: _comment", "error: is a number, where Kong's schema wants a text"),
        ("kong.yml:2", "vault aa: _ignore", "error: must be a list in Kong"),
        ("kong.yml:3", "vault bb: _coment", "error: unknown field"),
    ]);
}

#[test]
fn no_more_than_a_thousand_notes_on_what_is_left_to_kong_are_shown() {
    let names: String = (0..3000).map(|at| format!("a{at},")).collect();
    let keys: String = (0..3000).map(|at| format!("vault_zz_k{at} = 1\n")).collect();
    let run = Files::of(&[("kong.conf", &format!("vaults = env,{names}zz\n{keys}vault_hcv_tokn = 1\n"))])
        .check(&["kong.conf"], &[]);
    run.holds("kong.conf file note: there are 5001 notes more, which are not shown");
    assert!(run.stdout.contains("error: unknown option tokn of the hcv vault"), "{}", run.stdout);
    assert_eq!(run.stdout.lines().count(), 1003);
}

#[test]
fn strategies_of_others_are_left_to_kong() {
    let conf = "vaults = bundled,aws,hcv,my-own,other\nvault_my_own_url = http://x\nvault_other_a_b = 1\n\
                vault_mine_url = x\nvault_declarative_config = kong.yml\npg_password = {vault://my-own/a}\n";
    let yaml = "vaults:\n- {prefix: mine, name: my-own, config: {anything: [{goes: here}]}}\n- {prefix: gg, name: other}\n\
                - {prefix: ee, name: env}\n- {prefix: bad, name: mine}\n\
                a: ['{vault://mine/a}', '{vault://gg/a/b}', '{vault://my-own/a}',\n '{vault://other/a}', '{vault://ee/a}', \
                '{vault://nope/a}']\n";
    let files = Files::of(&[("kong.conf", conf), ("kong.yml", yaml)]);
    let left = "note: kong-vault does not provide this vault: left to Kong";
    files.check(&["kong.conf"], &[]).finds(&[
        ("kong.conf:1", "vaults", "note: my-own is a strategy that kong-vault does not provide: left to Kong"),
        ("kong.conf:1", "vaults", "note: other is a strategy that kong-vault does not provide: left to Kong"),
        (
            "kong.conf:2",
            "vault_my_own_url",
            "note: is an option of a strategy that kong-vault does not provide: left to Kong",
        ),
        ("kong.conf:3", "vault_other_a_b", "note: is an option of a strategy that kong-vault does not provide"),
        ("kong.conf:4", "vault_mine_url", "error: unknown option vault_mine_url"),
        ("kong.conf:6", "pg_password {vault://my-own/a}", left),
        (
            "kong.yml:2",
            "vault mine",
            "note: is of the strategy my-own, which kong-vault does not provide: left to Kong",
        ),
        ("kong.yml:3", "vault gg", "note: is of the strategy other, which kong-vault does not provide"),
        ("kong.yml:5", "vault bad: name", "error: name \"mine\" is not a backend"),
        ("kong.yml:6", "a[0] {vault://mine/a}", left),
        ("kong.yml:6", "a[1] {vault://gg/a/b}", left),
        ("kong.yml:6", "a[2] {vault://my-own/a}", left),
        ("kong.yml:7", "a[3] {vault://other/a}", left),
        ("kong.yml:7", "a[5] {vault://nope/a}", "error: could not find vault (nope)"),
    ]);
    // The environment's say is the same.
    let files = Files::of(&[("kong.yml", "vaults: [{prefix: mine, name: my-own}]\na: '{vault://mine/a}'\n")]);
    let environment = [("KONG_VAULTS", "bundled,my-own"), ("KONG_VAULT_MY_OWN_URL", "x")];
    files.check(&["kong.yml"], &environment).finds(&[
        ("kong.yml:1", "vault mine", "note: is of the strategy my-own"),
        ("kong.yml:2", "a {vault://mine/a}", left),
        ("environment", "KONG_VAULTS", "note: my-own is a strategy that kong-vault does not provide: left to Kong"),
        ("environment", "KONG_VAULT_MY_OWN_URL", "note: is an option of a strategy that kong-vault does not provide"),
    ]);
    let named = Files::of(&[("kong.yml", "vaults: [{prefix: my-own, name: env}]\n")]);
    let choose =
        ("kong.yml:1", "vault my-own: prefix", "error: prefix my-own is the name of a strategy: choose another");
    let noted = ("environment", "KONG_VAULTS", "note: my-own is a strategy that kong-vault does not provide");
    named.check(&["kong.yml"], &[("KONG_VAULTS", "bundled,my-own")]).finds(&[choose, noted]);
    named.check(&["kong.yml"], &[]).finds(&[]);
    files.check(&["kong.yml"], &[("KONG_VAULTS", "env,hvc")]).finds(&[
        ("kong.yml:1", "vault mine: name", "error: name \"my-own\" is not a backend"),
        ("kong.yml:2", "a {vault://mine/a}", "error: vault entity mine has mistakes"),
        ("environment", "KONG_VAULTS", "error: \"hvc\" in option vaults"),
    ]);
}

#[test]
fn kongs_own_declarative_file_goes_with_its_conf() {
    let files = Files::of(&[
        (
            "kong.conf",
            "declarative_config = kong.yml
pg_password = {vault://team/a}
",
        ),
        (
            "both.conf",
            "declarative_config = kong.yml
vault_declarative_config = more.yml
pg_password = {vault://more/a}
",
        ),
        (
            "gone.conf",
            "declarative_config = gone.yml
pg_password = {vault://team/a}
",
        ),
        ("kong.yml", "vaults: [{prefix: team, name: env}]\na: ['{vault://team/a}',\n '{vault://more/a}']\n"),
        ("more.yml", "vaults: [{prefix: more, name: env}]\n"),
        ("other.yml", "a: '{vault://team/a}'\n"),
    ]);
    let more = ("kong.yml:3", "a[1] {vault://more/a}", "error: could not find vault (more)");
    files.check(&["kong.conf"], &[]).finds(&[more]);
    files.check(&["kong.yml", "kong.conf"], &[]).finds(&[more]);
    files.check(&["both.conf"], &[]).finds(&[]);
    files.check(&["other.yml", "--conf", "kong.conf"], &[]).finds(&[more]);
    files.check(&["other.yml"], &[("KONG_DECLARATIVE_CONFIG", "kong.yml")]).finds(&[more]);
    files.check(&["gone.conf"], &[]).finds(&[
        ("gone.conf:1", "declarative_config", "warning: can't be read"),
        ("gone.conf:2", "pg_password {vault://team/a}", "warning: not checked"),
    ]);
}

#[test]
fn what_a_dump_left_out_is_a_note() {
    let yaml = "vaults:\n- prefix: hv\n  name: hcv\n  config: {token: '{vault://redacted-value}'}\na:\n- '{vault://redacted-value}'\n\
                - '{vault://hv/a/b}'\n- '{vault://redacted}'\n- '{vault://redact}'\n";
    let files = Files::of(&[("kong.yml", yaml)]);
    let left_out = "note: replaces a value that was left out of this dump";
    let run = files.check(&["kong.yml"], &[]);
    run.finds(&[
        ("kong.yml:4", "vault hv: config.token", left_out),
        ("kong.yml:6", "a[0] {vault://redacted-value}", left_out),
        ("kong.yml:8", "a[2] {vault://redacted}", left_out),
        ("kong.yml:9", "a[3] {vault://redact}", "error: reference url is missing path"),
    ]);
    run.holds("kong.yml:7 a[1] {vault://hv/a/b} ok");
}

#[test]
fn code_that_looks_references_up_is_no_reference() {
    let yaml = r#"plugins:
- name: post-function
  config:
    access:
    - |
      local v = kong.vault.get("{vault://env/a}")
      -- {vault://env/b}
    - return kong.vault.get('{vault://env/a}')
    - return kong.vault.get([[{vault://env/a}]])
    - "local t = {a=\"{vault://env/a}\"}"
- name: request-transformer
  config:
    add:
      headers:
      - "x-key:{vault://env/a}"
      - "Bearer {vault://env/a}"
      - "$((function() return kong.vault.get('{vault://env/a}') end)())"
"#;
    let files = Files::of(&[("kong.yml", yaml)]);
    let taken = "warning: looks like a reference but is not one";
    files.check(&["kong.yml"], &[]).finds(&[
        ("kong.yml:15", "plugins[1].config.add.headers[0]", taken),
        ("kong.yml:16", "plugins[1].config.add.headers[1]", taken),
    ]);
}

#[test]
fn references_inside_the_texts_of_plugins_are_checked_where_they_are_taken() {
    let yaml = r#"
services:
- name: "a {vault://env/a}"
  plugins:
  - name: request-transformer
    config:
      add:
        headers:
        - "x:{vault://env/a} {vault://nope/b}"
        - "y:{vault://env/a} {vault://env"
        - "z:vault://env/a {vault//env/a}"
"#;
    let conf = ("kong.conf", "vault_references = everywhere\n");
    let files = Files::of(&[("kong.yml", yaml), conf]);
    let header = |at, more: &str| format!("services[0].plugins[0].config.add.headers[{at}]{more}");
    let taken = "warning: looks like a reference but is not one";
    files.check(&["--conf", "kong.conf", "kong.yml"], &[]).finds(&[
        ("kong.yml:3", "services[0].name", taken),
        ("kong.yml:9", &header(0, " {vault://nope/b}"), "error: could not find vault (nope)"),
        ("kong.yml:10", &header(1, ""), "error: a reference in this text does not end"),
        ("kong.yml:11", &header(2, ""), taken),
    ]);
    files.check(&["kong.yml"], &[("KONG_VAULT_REFERENCES", "everywhere")]).finds(&[
        ("kong.yml:3", "services[0].name", taken),
        ("kong.yml:9", &header(0, " {vault://nope/b}"), "error: could not find vault (nope)"),
        ("kong.yml:10", &header(1, ""), "error: a reference in this text does not end"),
        ("kong.yml:11", &header(2, ""), taken),
    ]);
}

#[test]
fn a_misspelt_option_is_answered_with_the_nearest_names() {
    let yaml = "vaults:\n- {prefix: hv, name: hcv, config: {tokn: a, address: b}}\n- {prefix: aa, name: aws, config: {regoin: c}}\n\
                a: '{vault://hcv/a/b?zzz=1}'\n";
    let files = Files::of(&[("kong.yml", yaml), ("kong.conf", "vault_hcv_tokn = x\nvault_zzz = y\n")]);
    let run = files.check(&["kong.yml", "kong.conf"], &[]);
    let rows: Vec<_> = run.stdout.lines().filter(|row| row.contains("unknown")).collect();
    assert_eq!(rows.len(), 6, "{}", run.stdout);
    for row in rows {
        let names = row.split_once("accepted are").map_or(0, |(_, names)| names.split(", ").count());
        assert!((1..=5).contains(&names) && row.contains("`kong-vault vaults` lists"), "{row}");
    }
    assert!(run.stdout.contains("did you mean region?"), "{}", run.stdout);
}

#[test]
fn a_file_named_as_json_is_told_what_is_wrong_with_it_as_json() {
    let files = Files::of(&[
        ("good.json", "{\"a\": \"\\ud83d\\udd10 \u{7f} \u{ffff}\tx\ny\", \"vaults\": []}"),
        ("good.yml", "{\"a\": \"\\ud83d\\udd10 \u{7f} \u{ffff}\", \"vaults\": []}"),
        ("bad.json", "{\"a\": \"\\ud83d\\udd10\",\n \"vaults\": [1 2]}"),
        ("bad.yml", "{\"a\": \"\\ud83d\\udd10\",\n \"vaults\": [1 2]}"),
    ]);
    files.check(&["good.json", "good.yml"], &[]).finds(&[]);
    let wrong = "error: is not YAML or JSON (as JSON: a comma or an end is missing here)";
    files
        .check(&["bad.json", "bad.yml"], &[])
        .finds(&[("bad.json:2", "syntax", wrong), ("bad.yml:2", "syntax", wrong)]);
}

/// Whether `check` and a loader agree about a file as a whole, and about each entity.
#[track_caller]
fn agree(name: &str, text: &str) {
    let (table, _) = look_at(name, text.as_bytes().to_vec());
    let is_whole = |row: &str| matches!(row.split_whitespace().nth(1), Some("syntax" | "file" | "vaults"));
    let whole = |row: &&str| row.contains(" error: ") && is_whole(row);
    match declarative::parse_text(name, text, ALL) {
        Err(error) => assert!(table.lines().any(|row| whole(&row)), "{text:?}: {error}\n{table}"),
        Ok(loaded) => {
            assert!(!table.lines().any(|row| whole(&row)), "{text:?}\n{table}");
            let told = table.lines().filter(|row| row.contains("vault") && row.contains(" error: ")).count();
            assert!(loaded.broken.is_empty() || told > 0, "{text:?}: {:?}\n{table}", loaded.broken);
        }
    }
}

#[test]
fn check_passes_no_file_that_a_loader_refuses() {
    for text in [
        "{\"vaults\":,[{\"prefix\":\"aa\",\"name\":\"env\"}]}",
        "? [c]\n: 1\nvaults: []\n",
        "? {a: b}\n: 1\n",
        "x: &x {vaults: [{prefix: aa, name: env}]}\n<<: *x\n",
        "x: &x {vaults: [{prefix: aa, name: awz}]}\n<<: [*x]\n",
        "<<: {vaults: 1}\n",
        "<<: 1\nvaults: []\n",
        "# a\u{1}b\n",
        "# a\u{1}b",
        "# a\u{7f}",
        "\u{1}",
        "vaults: [",
        "vaults:\n- {prefix: aa",
        "vaults: \"",
        "vaults: []\n---\n[",
        "vaults: []\n---\nvaults: {}\n",
        "---\n---\nvaults: {}\n",
        "vaults: !x []\n",
        "!x {vaults: []}\n",
        "vaults: !!map []\n",
        "vaults: &a [*a]\n",
        "vaults: null\n",
        "vaults: {}\n",
        "vaults: {a: b}\n",
        "vaults: ''\n",
        "vaults: 'null'\n",
        "5\n",
        "",
        "\u{feff}",
        "1: x\nvaults: [{prefix: aa, name: env}]\n",
        "vaults: [{? [a] : b}]\n",
        "vaults: [{prefix: aa, name: env, <<: 1}]\n",
    ] {
        for name in ["kong.yml", "kong.json", "kong"] {
            if name != "kong" || !text.is_empty() {
                agree(name, text);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn check_and_loader_agree_about_every_file(
        name in prop_oneof![Just("f.yml"), Just("f.json")],
        text in "([-?:,\\[\\]{}&*!|>'\"%@`#a-c0 \n\t\r=\u{1}\u{7f}\u{ffff}\u{85}\u{2028}]|vaults: |vaults:\n- |\"vaults\":|prefix: aa|name: env|<<: |&a |\\*a|\n---\n|!!str |\\\\u){0,24}"
    ) {
        agree(name, &text);
    }
}
