//! `kong-vault check`, run as a program: every kind of mistake is named with its line, and no value is shown.

mod support;

use proptest::prelude::*;
use support::check::Files;

const YAML: &str = r##"_format_version: "3.0"
vaults:
  - prefix: good-one
    name: hcv
    config: { host: vault.internal, token: "{vault://env/token}", ttl: 300 }
  - prefix: Bad_Prefix
    name: hcv
    config:
      token: hunter2 # a value
      prot: 1
  - prefix: good-one
    name: env
  - prefix: hcv
    name: env
  - prefix: nobackend
    name: awz
  - prefix: fields
    name: hcv
    confg: {}
    config:
      token: "hunter2 hunter2"
      host: "{vault://env/host}"
      port: hunter2
      ssl_verify: true
      tls_verify: true
      kv: [1]
  - prefix: malformed
    name: hcv
    config:
      token: "{vault://env/}"
  - name: env
  - hunter2
services:
  - name: a
    url: "{vault://nope/a}"
    host: "{vault://good-oen/a}"
    plugins:
      - name: x
        config:
          a: "{vault://env}"
          b: "{vault://env/}"
          c: "{vault://env//}"
          d: "{vault://env/a#x}"
          e: "{vault://hcv/a/b?host=evil}"
          f: "{vault://hcv/a/b?hots=evil}"
          g: "{vault://good-one/a/b?ttl=soon}"
          h: "{vault:/env/hunter2}"
          i: "Bearer {vault//env/hunter2}"
          j: {vault://env/a}
          k: "{vault://env/fine}"
          k: "{vault://nobackend/a}"
          l:
            - "{vault://env/a} "
            - "{vault://hcv/a/b?token=hunter2}"
          "{vault://env/#1}": 1
          m: &same "{vault://env//}"
          n: *same
"##;

#[test]
fn every_kind_of_mistake_in_a_declarative_file_is_named_with_its_line() {
    let config = |field: &str| format!("services[0].plugins[0].config{field}");
    let rows = [
        ("6", "vault Bad_Prefix: prefix".to_owned(), "error: prefix \"Bad_Prefix\" is not like"),
        ("10", "vault Bad_Prefix: config.prot".to_owned(), "error: unknown field (did you mean port?)"),
        ("11", "vault good-one: prefix".to_owned(), "error: this prefix is set twice: the entity in line 3 has it too"),
        ("13", "vault hcv: prefix".to_owned(), "error: prefix hcv is the name of a backend"),
        ("16", "vault nobackend: name".to_owned(), "error: name \"awz\" is not a backend (did you mean aws?)"),
        ("19", "vault fields: confg".to_owned(), "error: unknown field \"confg\" (did you mean config?)"),
        ("21", "vault fields: config.token".to_owned(), "error: must be printable ASCII without spaces"),
        (
            "22",
            "vault fields: config.host".to_owned(),
            "error: is a reference: in a vault entity only credentials may be",
        ),
        ("23", "vault fields: config.port".to_owned(), "error: must be a whole number from 1 to 65535"),
        ("25", "vault fields: config.tls_verify".to_owned(), "error: is another name of ssl_verify"),
        ("26", "vault fields: config.kv".to_owned(), "error: config.kv is no text, number, boolean or list of texts"),
        ("30", "vault malformed: config.token".to_owned(), "error: reference url has empty path"),
        ("31", "vaults[7]: prefix".to_owned(), "error: it has no prefix"),
        ("32", "vaults[8]".to_owned(), "error: is not a vault entity: give it fields"),
        ("35", "services[0].url {vault://nope/a}".to_owned(), "error: could not find vault (nope)"),
        (
            "36",
            "services[0].host {vault://good-oen/a}".to_owned(),
            "error: could not find vault (good-oen) (did you mean good-one?)",
        ),
        ("40", config(".a {vault://env}"), "error: reference url is missing path"),
        ("41", config(".b {vault://env/}"), "error: reference url has empty path"),
        ("42", config(".c {vault://env//}"), "error: reference url has invalid path"),
        ("43", config(".d {vault://env/a#x}"), "error: reference url has invalid version"),
        (
            "44",
            config(".e {vault://hcv/a/b?host=evil}"),
            "error: option host of the hcv vault (hcv) is not allowed in a reference",
        ),
        ("45", config(".f {vault://hcv/a/b?hots=***"), "error: unknown option hots of the hcv vault"),
        ("46", config(".g {vault://good-one/a/b?ttl=soon}"), "error: value \"soon\" of option ttl"),
        ("47", config(".h"), "warning: looks like a reference but is not one"),
        ("48", config(".i"), "warning: looks like a reference but is not one"),
        ("49", config(".j"), "error: a reference must be in quotes"),
        ("51", config(".k"), "warning: this key is set twice: this line is used, line 50 is not"),
        ("51", config(".k {vault://nobackend/a}"), "error: vault entity nobackend has mistakes"),
        ("53", config(".l[0]"), "warning: looks like a reference with white space"),
        ("54", config(".l[1] {vault://hcv/a/b?token=***"), "error: option token of the hcv vault (hcv) is not allowed"),
        ("55", config("{key} {vault://env/#1}"), "error: reference url has empty path"),
        ("56", config(".m {vault://env//}"), "error: reference url has invalid path"),
    ];
    let files = Files::of(&[("kong.yml", YAML)]);
    let run = files.check(&["kong.yml"], &[]);
    let rows: Vec<_> = rows.iter().map(|(line, what, why)| (format!("kong.yml:{line}"), what.as_str(), *why)).collect();
    run.finds(&rows.iter().map(|(place, what, why)| (place.as_str(), *what, *why)).collect::<Vec<_>>());
    run.holds("kong.yml:3 vault good-one ok");
    run.holds("kong.yml:5 vaults[0].config.token {vault://env/token} ok");
    run.holds("kong.yml:50 services[0].plugins[0].config.k {vault://env/fine} ok");
}

#[test]
fn json_has_lines_too() {
    let json = "{\n\t\"vaults\": [\n\t\t{\"prefix\": \"mine\", \"name\": \"env\",\n\t\t \"config\": {\"prefx\": \"hunter2\"}},\n\
                \t\t{\"prefix\": \"mine\",\n\t\t \"name\": \"env\"}\n\t],\n\t\"certificates\": [{\"key\":\n\
                \t\t\"{vault://mine/a}\", \"cert\": \"{vault://env/}\"}]\n}\n";
    let files = Files::of(&[
        ("kong.json", json),
        ("comma.json", "{\"vaults\": [],}"),
        ("open.json", "{\"a\": [1,\n2\n"),
        ("end.json", "{\"a\": [1,\n2"),
    ]);
    files.check(&["kong.json"], &[]).finds(&[
        ("kong.json:4", "vault mine: config.prefx", "error: unknown field (did you mean prefix?)"),
        ("kong.json:5", "vault mine: prefix", "error: this prefix is set twice: the entity in line 3"),
        ("kong.json:8", "certificates[0].key {vault://mine/a}", "error: vault entity mine has mistakes"),
        ("kong.json:9", "certificates[0].cert {vault://env/}", "error: reference url has empty path"),
    ]);
    files.check(&["comma.json"], &[]).finds(&[("comma.json:1", "syntax", "warning: is YAML, not JSON")]);
    files.check(&["open.json"], &[]).finds(&[("open.json:3", "syntax", "error: is not YAML or JSON (")]);
    files.check(&["end.json"], &[]).finds(&[("end.json:2", "syntax", "error: is not YAML or JSON (")]);
}

#[test]
fn what_stands_before_a_syntax_error_is_judged_and_what_follows_is_not() {
    let yaml = "vaults:\n  - {prefix: first, name: awz}\n  - prefix: second\n   name: [\nfoo: '{vault://env/}'\n";
    let files = Files::of(&[
        ("a.yml", yaml),
        ("b.yml", "a: '{vault://later/x}'\nb: '{vault://env/}'\nc: [}\nvaults: [{prefix: later, name: env}]\n"),
        ("two.yml", "vaults: []\n---\nvaults: []\n"),
        ("list.yml", "- 1\n"),
        ("vaults.yml", "a: 1\nvaults: {prefix: a}\n"),
        ("twice.yml", "vaults: []\nvaults:\n- {prefix: aa, name: hcv, name: env}\n"),
        ("flow.yml", "a: [\n{b: 1},\n2]\n"),
        ("bracket.yml", "a: [\n  1\n]\nb: '{vault://env/}'\n"),
        ("empty.yml", "# nothing\n"),
        ("self.yml", "a: &a [*a]\nvaults: &b [*b]\n"),
    ]);
    files.check(&["a.yml"], &[]).finds(&[
        ("a.yml:2", "vault first: name", "error: name \"awz\" is not a backend"),
        ("a.yml:4", "syntax", "error: is not YAML or JSON (while parsing a block collection"),
    ]);
    files.check(&["b.yml"], &[]).finds(&[
        ("b.yml:1", "a {vault://later/x}", "warning: not checked: its vault may be in a part that cannot be read"),
        ("b.yml:2", "b {vault://env/}", "error: reference url has empty path"),
        ("b.yml:3", "syntax", "error: is not YAML or JSON ("),
    ]);
    files.check(&["two.yml"], &[]).finds(&[("two.yml:2", "file", "warning: a second YAML document begins here")]);
    files.check(&["list.yml"], &[]).finds(&[("list.yml:1", "file", "error: holds no `vaults` and nothing else")]);
    files.check(&["vaults.yml"], &[]).finds(&[("vaults.yml:2", "vaults", "error: must be a list of vault entities")]);
    files.check(&["twice.yml"], &[]).finds(&[
        ("twice.yml:2", "vaults", "warning: this key is set twice: this line is used, line 1 is not"),
        ("twice.yml:3", "vaults[0].name", "warning: this key is set twice: this line is used"),
    ]);
    files.check(&["flow.yml"], &[]).finds(&[]);
    files.check(&["bracket.yml"], &[]).finds(&[(
        "bracket.yml:4",
        "b {vault://env/}",
        "error: reference url has empty",
    )]);
    files.check(&["empty.yml"], &[]).finds(&[("empty.yml:1", "file", "warning: the file is empty")]);
    files.check(&["self.yml"], &[]).finds(&[("self.yml:2", "vaults", "error: its alias (`*name`) is inside")]);
}

#[test]
fn references_are_judged_by_what_goes_with_their_file() {
    let files = Files::of(&[
        ("kong.conf", "vaults = env\nvault_declarative_config = vaults.yml\n"),
        (
            "vaults.yml",
            "vaults:\n- {prefix: team, name: env}\n- {prefix: 'off', name: hcv}\n- {prefix: xx, name: awz}\n",
        ),
        (
            "kong.yml",
            "vaults: [{prefix: own, name: env}]\na: ['{vault://own/a}', '{vault://team/a}',\n '{vault://off/a}',\n '{vault://hcv/a}']\n",
        ),
        ("gone.conf", "a = b\nvault_declarative_config = gone.yml\npg_password = {vault://team/a}\n"),
        ("noext", "vaults = nope\n"),
    ]);
    let wrong = ("vaults.yml:4", "vault xx: name", "error: name \"awz\"");
    let off = [
        ("kong.yml:3", "a[2] {vault://off/a}", "error: could not find vault (off): it is disabled"),
        ("kong.yml:4", "a[3] {vault://hcv/a}", "error: could not find vault (hcv): it is disabled"),
    ];
    files.check(&["kong.yml", "--conf", "kong.conf"], &[]).finds(&[off[0], off[1], wrong]);
    let environment = [("KONG_VAULTS", "env"), ("KONG_VAULT_DECLARATIVE_CONFIG", "vaults.yml")];
    files.check(&["kong.yml"], &environment).finds(&[off[0], off[1], wrong]);
    files.check(&["kong.yml"], &[]).finds(&[
        ("kong.yml:2", "a[1] {vault://team/a}", "error: could not find vault (team)"),
        ("kong.yml:3", "a[2] {vault://off/a}", "error: could not find vault (off)"),
    ]);
    files.check(&["kong.conf"], &[]).finds(&[wrong]);
    files.check(&["gone.conf"], &[]).finds(&[
        ("gone.conf:2", "vault_declarative_config", "error: can't be read"),
        ("gone.conf:3", "pg_password {vault://team/a}", "warning: not checked"),
    ]);
    files.check(&["noext"], &[]).finds(&[("noext:1", "vaults", "error: \"nope\" in option vaults")]);
}

#[test]
fn the_examples_are_good() {
    let files = Files::of(&[]);
    let path = |name: &str| format!("{}/../examples/{name}", env!("CARGO_MANIFEST_DIR"));
    files.check(&[&path("kong.conf"), &path("vaults.yml")], &[]).finds(&[]);
    files.check(&[&path("vaults.yml"), "-c", &path("kong.conf")], &[]).finds(&[]);
}

#[test]
fn misuse_is_status_2() {
    let files = Files::of(&[("a.yml", "a: 1"), ("bad.conf", "hunter2\n")]);
    for (arguments, why) in [
        (&[][..], "required arguments"),
        (&["none.yml"], "Error: none.yml: can't be read"),
        (&["a.yml", "none.yml"], "Error: none.yml: can't be read"),
        (&["."], "Error: .: can't be read"),
        (&["a.yml", "--conf", "none.conf"], "Error: --conf none.conf: can't be read"),
        (&["a.yml", "--timeout", "soon"], "--timeout must be seconds from 0.001"),
        (&["a.yml", "--reslove"], "error: "),
    ] {
        let run = files.check(arguments, &[]);
        assert!(
            run.status == Some(2) && run.stdout.is_empty() && run.stderr.contains(why),
            "{arguments:?}: {}",
            run.stderr
        );
    }
    files.check(&["a.yml", "--conf", "bad.conf"], &[]).finds(&[
        ("bad.conf:1", "line", "warning: has no `=`, so Kong skips it"),
        ("bad.conf:1", "file", "error: no line is `key = value`"),
    ]);
}

#[test]
fn aliases_and_merges_keep_their_lines_and_cannot_blow_up() {
    let yaml = "base: &base\n  host: vault.internal\n  tokn: hunter2\nref: &ref '{vault://mm/a}'\nvaults:\n- prefix: mm\n  name: hcv\n  \
                config:\n    <<: *base\n    port: 1\n- &again\n  prefix: nn\n  name: env\n- *again\nother: *ref\n";
    let mut laugh = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, before) in ('b'..='z').zip('a'..) {
        laugh += &format!("{name}: &{name} [{}]\n", vec![format!("*{before}"); 10].join(", "));
    }
    laugh += "vaults: *z\n";
    let files = Files::of(&[
        ("kong.yml", yaml),
        ("laugh.yml", &laugh),
        ("deep.json", &"[".repeat(1_000_000)),
        ("deeper.yml", &"{a: ".repeat(1_000_000)),
    ]);
    files.check(&["kong.yml"], &[]).finds(&[
        ("kong.yml:3", "vault mm: config.tokn", "error: unknown field (did you mean token?)"),
        ("kong.yml:4", "ref {vault://mm/a}", "error: vault entity mm has mistakes"),
        ("kong.yml:14", "vault nn: prefix", "error: this prefix is set twice: the entity in line 11 has it too"),
    ]);
    files.check(&["laugh.yml"], &[]).finds(&[("laugh.yml:27", "vaults", "error: is too large with its aliases")]);
    files.check(&["deep.json"], &[]).finds(&[("deep.json:1", "syntax", "error: ")]);
    files.check(&["deeper.yml"], &[]).finds(&[("deeper.yml:1", "syntax", "error: ")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_the_file_holds_there_is_an_answer(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "([-?:,\\[\\]{}&*!|>'\"%@`#a-c0 \n\t=]|vaults:|vault_|\\{vault://env/a\\}|<<: |--- ){0,40}".prop_map(String::into_bytes),
        ],
        name in prop_oneof![Just("f.yml"), Just("f.json"), Just("f.conf"), Just("f")],
    ) {
        let files = Files::of(&[]);
        std::fs::write(files.0.path().join(name), bytes).unwrap();
        let run = files.check(&[name], &[]);
        prop_assert!(matches!(run.status, Some(0 | 1)), "{}{}", run.stdout, run.stderr);
        prop_assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
}
