//! `kong-vault check --format`: the same findings for programs, with a stable rule each, whatever a file holds.

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use kong_vault_cli::check::rule::{Rule, Severity};
use serde_json::{Value, json};
use support::check::{Files, Run};

const YAML: &str = "_format_version: \"3.0\"\nvaults:\n- prefix: mine\n  name: hcv\n  config: {prot: 1}\nservices:\n\
                    - name: a\n  url: \"{vault://mnie/a}\" # é\n  tags: [\"{vault:/env/hunter2}\"]\n";

#[track_caller]
fn machine(files: &Files, arguments: &[&str], format: &str) -> Run {
    files.check(&[arguments, &["--format", format]].concat(), &[])
}

#[track_caller]
fn parsed(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout))
}

#[test]
fn text_is_the_default() {
    let files = Files::of(&[("kong.yml", YAML)]);
    let (default, text) = (files.check(&["kong.yml"], &[]), machine(&files, &["kong.yml"], "text"));
    assert_eq!((default.stdout, default.stderr, default.status), (text.stdout, text.stderr, text.status));
}

#[test]
fn json_is_one_object_with_every_finding() {
    let files = Files::of(&[("kong.yml", YAML), ("good.yml", "vaults: []\n")]);
    let run = machine(&files, &["kong.yml"], "json");
    assert_eq!((run.status, run.stderr.as_str()), (Some(1), "Error: there are 2 mistakes\n"));
    let report = parsed(&run);
    assert_eq!(report["version"], 1);
    assert_eq!(report["tool"], json!({"name": "kong-vault", "version": env!("CARGO_PKG_VERSION")}));
    assert_eq!(report["summary"], json!({"checked": 3, "errors": 2, "warnings": 1, "notes": 0}));
    let finding = |index: usize| report["findings"][index].clone();
    assert_eq!(
        finding(0),
        json!({
            "severity": "error", "rule": "unknown-option", "file": "kong.yml",
            "line": 5, "column": 12, "end_line": 5, "end_column": 16,
            "subject": "vault mine: config.prot", "message": "unknown field (did you mean port?): accepted are port, protocol, proxy and others, which `kong-vault vaults` lists",
            "fix": Rule::UnknownOption.fix(),
        })
    );
    let place = |it: &Value| ["rule", "line", "column", "end_column"].map(|field| it[field].clone());
    assert_eq!(place(&finding(1)), [json!("unknown-vault"), json!(8), json!(8), json!(26)]);
    assert_eq!(place(&finding(2)), [json!("reference-look-alike"), json!(9), json!(10), json!(32)]);
    let none = machine(&files, &["good.yml"], "json");
    assert_eq!((none.status, none.stderr.as_str()), (Some(0), ""));
    assert_eq!(parsed(&none)["findings"], json!([]));
}

#[test]
fn github_has_a_command_for_each_finding() {
    let files = Files::of(&[("a,b:c%.yml", YAML), ("good.yml", "vaults: []\n")]);
    let run = machine(&files, &["./a,b:c%.yml"], "github");
    let lines: Vec<_> = run.stdout.lines().collect();
    let file = "file=a%2Cb%3Ac%25.yml";
    assert_eq!(
        lines,
        [
            format!(
                "::error {file},line=5,endLine=5,col=12,endColumn=16,title=kong-vault%3A unknown-option::vault mine: config.prot: unknown field (did you mean port?): accepted are port, protocol, proxy and others, which `kong-vault vaults` lists"
            ),
            format!(
                "::error {file},line=8,endLine=8,col=8,endColumn=26,title=kong-vault%3A unknown-vault::services[0].url {{vault://mnie/a}}: could not find vault (mnie) (did you mean mine?)"
            ),
            format!(
                "::warning {file},line=9,endLine=9,col=10,endColumn=32,title=kong-vault%3A reference-look-alike::services[0].tags[0]: looks like a reference but is not one, and is used as plain text: write {{vault://…}} and nothing else"
            ),
            "3 checked, 2 wrong, 1 with a warning".to_owned(),
        ]
    );
    assert_eq!(run.status, Some(1));
    assert_eq!(machine(&files, &["good.yml"], "github").stdout, "0 checked, 0 wrong, 0 with a warning\n");
    // A variable has no file; a workspace is the root of the repository, wherever the command runs.
    let run = files.check(&["good.yml", "--format", "github"], &[("KONG_VAULT_HCV_PROT", "hunter2")]);
    assert!(
        run.stdout.starts_with("::error title=kong-vault%3A unknown-option::KONG_VAULT_HCV_PROT: "),
        "{}",
        run.stdout
    );
    let directory = files.0.path().canonicalize().unwrap();
    let workspace = directory.parent().unwrap().to_str().unwrap();
    let run = files.check(&["a,b:c%.yml", "--format", "github"], &[("GITHUB_WORKSPACE", workspace)]);
    let name = directory.file_name().unwrap().to_str().unwrap();
    assert!(run.stdout.starts_with(&format!("::error file={name}/a%2C")), "{}", run.stdout);
}

#[test]
fn sarif_has_rules_and_a_place_for_each_result() {
    let files = Files::of(&[("a b%é.yml", YAML), ("good.yml", "vaults: []\n")]);
    let log = parsed(&machine(&files, &["./a b%é.yml"], "sarif"));
    assert_eq!((&log["version"], log["runs"].as_array().map(Vec::len)), (&json!("2.1.0"), Some(1)));
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), Rule::ALL.len());
    for rule in rules {
        let texts = [&rule["shortDescription"]["text"], &rule["help"]["text"], &rule["helpUri"]];
        assert!(texts.iter().all(|text| text.as_str().is_some_and(|text| !text.is_empty())), "{rule}");
        assert!(["note", "warning", "error"].contains(&rule["defaultConfiguration"]["level"].as_str().unwrap()));
    }
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let index = result["ruleIndex"].as_u64().unwrap() as usize;
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert_eq!(result["level"], rules[index]["defaultConfiguration"]["level"]);
    }
    let place = &results[1]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"], json!({"uri": "a%20b%25%C3%A9.yml", "uriBaseId": "%SRCROOT%"}));
    assert_eq!(place["region"], json!({"startLine": 8, "startColumn": 8, "endLine": 8, "endColumn": 26}));
    let fingerprint = "unknown-vault a%20b%25%C3%A9.yml services[0].url {vault://mnie/a} 1";
    assert_eq!(results[1]["partialFingerprints"]["kongVault/v1"], fingerprint);
    let none = parsed(&machine(&files, &["good.yml"], "sarif"));
    assert_eq!(none["runs"][0]["results"], json!([]));
    // A variable's finding is attached to the first file; a file elsewhere has its whole path.
    let elsewhere = Files::of(&[("far.yml", YAML)]);
    let far = elsewhere.0.path().join("far.yml");
    let run =
        files.check(&["good.yml", far.to_str().unwrap(), "--format", "sarif"], &[("KONG_VAULT_HCV_PROT", "hunter2")]);
    let results = parsed(&run)["runs"][0]["results"].clone();
    let uri = |index: usize| results[index]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].clone();
    assert_eq!(uri(3), "good.yml");
    assert_eq!(uri(0), format!("file://{}", far.display()));
}

#[test]
fn a_path_is_that_in_the_workspace_however_it_is_named() {
    let (files, elsewhere) = (Files::of(&[]), Files::of(&[("far.yml", YAML)]));
    let (root, far) = (files.0.path().canonicalize().unwrap(), elsewhere.0.path().canonicalize().unwrap());
    std::fs::create_dir(root.join("conf")).unwrap();
    for name in ["conf/kong.yml", "above.yml"] {
        std::fs::write(root.join(name), YAML).unwrap();
    }
    symlink(&root, far.join("link")).unwrap();
    symlink(root.join("conf"), far.join("conf")).unwrap();
    let (whole, link) = (root.join("conf/kong.yml"), far.join("link"));
    for (from, workspace, file, wanted) in [
        (&files, Some(&link), "conf/kong.yml", "conf/kong.yml"),
        (&files, Some(&link), "conf/../conf/kong.yml", "conf/kong.yml"),
        (&elsewhere, Some(&root), whole.to_str().unwrap(), "conf/kong.yml"),
        (&elsewhere, Some(&link), "link/conf/kong.yml", "conf/kong.yml"),
        (&elsewhere, Some(&root), "conf/kong.yml", "conf/kong.yml"),
        // The directory above is that of the repository, not that of the link.
        (&elsewhere, Some(&root), "conf/../above.yml", "above.yml"),
        (&elsewhere, Some(&root), "far.yml", "far.yml"),
        (&elsewhere, None, "far.yml", "far.yml"),
        (&files, None, "conf/kong.yml", "conf/kong.yml"),
    ] {
        let workspace = workspace.map(|path| ("GITHUB_WORKSPACE", path.to_str().unwrap()));
        let check = |format: &str| from.check(&[file, "--format", format], workspace.as_slice());
        let log = parsed(&check("sarif"));
        let place = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
        assert_eq!(place, &json!({"uri": wanted, "uriBaseId": "%SRCROOT%"}), "{file}");
        let annotation = check("github").stdout;
        assert!(annotation.starts_with(&format!("::error file={wanted},line=5,")), "{file}: {annotation}");
    }
}

#[test]
fn results_have_fingerprints_of_their_own_that_do_not_depend_on_lines() {
    let conf = "vaults = hcvv, bundeled\nvault_hcv_prot = 1\n";
    let files = Files::of(&[("a.conf", conf), ("b.conf", conf), ("c.conf", &format!("# above\n\n{conf}"))]);
    let fingerprints = |arguments: &[&str]| {
        let run = files.check(&[arguments, &["--format", "sarif"]].concat(), &[("KONG_VAULT_HCV_PROT", "1")]);
        let log = parsed(&run);
        let results = log["runs"][0]["results"].as_array().unwrap().iter();
        let fingerprint = |it: &Value| it["partialFingerprints"]["kongVault/v1"].as_str().unwrap().to_owned();
        results.map(fingerprint).collect::<Vec<_>>()
    };
    let of_one = fingerprints(&["a.conf"]);
    assert_eq!(
        of_one,
        [
            "invalid-option a.conf vaults 1",
            "invalid-option a.conf vaults 2",
            "unknown-option a.conf vault_hcv_prot 1",
            "unknown-option environment KONG_VAULT_HCV_PROT 1",
        ]
    );
    let of_both = fingerprints(&["b.conf", "a.conf"]);
    assert_eq!(of_both.iter().collect::<BTreeSet<_>>().len(), 7, "{of_both:?}");
    assert!(of_one.iter().all(|it| of_both.contains(it)), "{of_both:?}");
    let of_lower: Vec<_> = fingerprints(&["c.conf"]).iter().map(|it| it.replace("c.conf", "a.conf")).collect();
    assert_eq!(of_lower, of_one);
}

#[test]
fn a_dash_is_standard_input() {
    let check = |arguments: &[&str], text: &str| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kong-vault"))
            .arg("check")
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end before it has read everything.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, table, _) = check(&["-"], YAML);
    assert!(status == Some(1) && table.starts_with("-:5  vault mine: config.prot "), "{table}");
    let (status, table, _) = check(&["-", "--format", "github"], YAML);
    assert!(status == Some(1) && table.starts_with("::error title="), "{table}");
    let (_, sarif, _) = check(&["-", "--format", "sarif"], YAML);
    assert!(sarif.contains("\"uri\": \"stdin\""), "{sarif}");
    let (status, table, _) = check(&["-"], "vault_hcv_prot = 1\n");
    assert!(status == Some(1) && table.contains("-:1  vault_hcv_prot  error: unknown option"), "{table}");
    let (status, _, error) = check(&["-", "-"], "");
    assert_eq!((status, error.as_str()), (Some(2), "Error: standard input (-) can be read only once\n"));
}

#[test]
fn a_hostile_name_or_content_forges_nothing() {
    let name = "a\n::error::b\u{1b}[31m\"\\.yml";
    let text = "\"x\\n::error::y\\r%0A\": \"{vault://nope/::error file=b::c\\n::error::d}\"\n\
                \"\\x1b[0m\\u2028\": {vault://env/a}\n";
    let files = Files::of(&[(name, text)]);
    for format in ["text", "json", "github", "sarif"] {
        let run = machine(&files, &[name], format);
        assert_eq!(run.status, Some(1), "{format}: {}", run.stderr);
        assert!(!run.stdout.contains(['\r', '\u{1b}']), "{format}: {:?}", run.stdout);
        match format {
            "json" => {
                let report = parsed(&run);
                let findings = report["findings"].as_array().unwrap();
                assert!(!findings.is_empty() && findings.iter().all(|it| it["file"] == name), "{report}");
            }
            "github" => {
                let commands: Vec<_> = run.stdout.lines().filter(|line| line.contains("::")).collect();
                let begins = |line: &&str| line.starts_with("::error file=a\\n%3A%3Aerror%3A%3Ab");
                assert!(commands.len() >= 2 && commands.iter().all(begins), "{commands:#?}");
            }
            "sarif" => {
                let uri =
                    &parsed(&run)["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"];
                assert_eq!(uri["uri"], "a%0A%3A%3Aerror%3A%3Ab%1B%5B31m%22%5C.yml");
            }
            _ => assert_eq!(run.stdout.lines().filter(|line| line.starts_with("::")).count(), 0),
        }
    }
    // A file that is no text, under a name that is none.
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"\xff.yml");
    std::fs::write(files.0.path().join(name), b"a: \xff\xfe\n").unwrap();
    for format in ["json", "github", "sarif"] {
        let output = Command::new(env!("CARGO_BIN_EXE_kong-vault"))
            .current_dir(files.0.path())
            .args([std::ffi::OsStr::new("check"), name, "--format".as_ref(), format.as_ref()])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("invalid-utf8"), "{text}");
        assert!(format == "github" || serde_json::from_str::<Value>(&text).is_ok(), "{text}");
    }
}

/// Files and variables that break every rule.
fn of_all_rules() -> Vec<Run> {
    let many = format!("a:\n{}", "- \"{vault://env//}\"\n".repeat(1001));
    let others: String = (0..1001).map(|index| format!("vault_other_x{index} = 1\n")).collect();
    let large = "x".repeat(4 * 1024 * 1024 + 1);
    let files = Files::of(&[
        (
            "kong.yml",
            "_format_version: \"9\"\nvaults:\n- {prefix: Bad, name: env}\n- {prefix: aa, name: awz}\n- {prefix: bb, name: env, id: 9d3c1f4e-6a55-4e0a-9d3c-1f4e6a554e0a}\n- {prefix: bb, name: env}\n- {prefix: cc, name: env, id: 9d3c1f4e-6a55-4e0a-9d3c-1f4e6a554e0a}\n- {prefix: dd, name: env, tags: 5}\n- {prefix: ee, name: hcv, config: {prot: 1, port: x, tls_verify: false}}\n- {prefix: ff, name: hcv, config: {auth_method: approle}}\n- {prefix: gg, name: theirs}\na: ['{vault://nope/a}', '{vault://ee/a/b}', '{vault://env/}', '{vault://env/a?x=1}', '{vault://env/KONG_VAULT_HCV_TOKEN}', '{vault://redacted}', '{vault:/env/a}', '{vault://env/absent}']\nb: {vault://env/a}\nc: 1\nc: 2\n---\na: 1\n",
        ),
        ("open.yml", "a: [\n"),
        ("list.yml", "- 1\n"),
        ("empty.yml", ""),
        ("named.json", "a: 1\n"),
        ("cut.yml", "a: '{vault://later/x}'\nb: [}\n"),
        ("latin.yml", "placeholder"),
        (
            "kong.conf",
            "vaults = bundled, theirs\nvault_hcv_tokn = 1\nvault_hcv_port = x\nvault_declarative_config = gone.yml\ndeclarative_config = gone.yml\nno key\nvault_hcv_host = \"a\"\ntls_certificate_verify = on\nvault_aws_external_id = shop\n[\n",
        ),
        ("none.conf", "x\n"),
        ("bare.yml", "a: '{vault://fs/db/password}'\nb: '{vault://fs/db/password?ttl=soon}'\n"),
        ("large.conf", &large),
        ("many.yml", &many),
        ("others.conf", &format!("vaults = bundled,other\n{others}")),
    ]);
    std::fs::write(files.0.path().join("latin.yml"), b"a: \xe9\n").unwrap();
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        files.check(&[arguments, &["--format", "json"]].concat(), environment)
    };
    let of_kong =
        [("KONG_VAULTS", "bundled,theirs"), ("KONG_TLS_CERTIFICATE_VERIFY", "on"), ("KONG_VAULT_HCV_TOKEN", "t")];
    vec![
        run(&["kong.yml", "--resolve"], &of_kong),
        run(&["open.yml", "list.yml", "empty.yml", "named.json", "cut.yml", "latin.yml"], &[]),
        run(&["kong.conf", "none.conf", "large.conf"], &[]),
        run(&["bare.yml"], &[]),
        run(&["many.yml"], &[]),
        run(&["others.conf"], &[]),
    ]
}

#[test]
fn every_rule_is_broken_by_something() {
    let mut broken = BTreeSet::new();
    for run in of_all_rules() {
        for finding in parsed(&run)["findings"].as_array().unwrap() {
            let rule = Rule::ALL.iter().find(|rule| finding["rule"] == rule.id());
            let rule = rule.unwrap_or_else(|| panic!("no rule: {finding}"));
            assert_eq!(finding["severity"], rule.severity().name());
            broken.insert(rule.id());
            // What a vault of its own lacks is no mistake of the reference.
            match finding["subject"].as_str().unwrap() {
                "a {vault://fs/db/password}" => assert_eq!(*rule, Rule::MissingOption, "{finding}"),
                "b {vault://fs/db/password?ttl=soon}" => assert_eq!(*rule, Rule::ReferenceOption, "{finding}"),
                _ => {}
            }
        }
    }
    let all: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
    assert_eq!(all.len(), Rule::ALL.len(), "an id stands for one rule");
    assert_eq!(broken, all);
    assert!(Rule::ALL.is_sorted_by_key(|rule| std::cmp::Reverse(rule.severity() as u8)), "{:?}", Severity::Error);
}
