//! A marked secret in every option of every vault, given in each of the ways that people give it: nothing shows it.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use kong_vault::backend::{SecretId, Setup, registry::ALL};
use kong_vault::config::Verification;
use kong_vault::config::entity::{self, FIELDS};
use kong_vault::config::{Config, ConfigSource, IndirectValues};
use kong_vault::environment::Environment;
use kong_vault::error::Error;
use kong_vault::options::Holds;
use kong_vault::options::own::OWN;
use kong_vault::redact::MASK;
use kong_vault::resolver::resolved_reference::ResolvedReference;
use serde_json::Value;
use support::admin::{Bed, Called};
use support::given::{all_options, config_of};
use support::marked::{Given, MARKER, all_ways, entity_of, prefix_of};
use tokio::task::JoinSet;

/// An environment without a person's own files and without a machine's metadata.
fn environment(variables: &[(&str, &str)]) -> Environment {
    let all = variables.iter().chain(&[
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("NO_GCE_CHECK", "true"),
        ("HOME", "/nonexistent"),
    ]);
    Environment::from_variables(all.map(|(name, value)| (*name, *value)))
}

/// All that a configuration tells: what is wrong with it, what its vaults say that are made of it, and what `Debug` shows.
async fn told(config: Result<Config, Error>, reference: String) -> String {
    let mut told = format!("{config:?}\n");
    let Ok(config) = config else { return told };
    told += &format!("{:?}\n{:?}\n", config.check(), ResolvedReference::resolve(reference.as_bytes(), &config));
    let parsed = kong_vault::reference::parse(reference.as_bytes()).unwrap();
    let Ok(vault) = config.vault(&parsed.name) else { return told };
    let Ok(settings) = config.settings(&vault, &parsed) else { return told };
    told += &format!("{settings:?}\n");
    let environment = environment(&[]);
    let timeout = Duration::from_millis(500);
    let setup = Setup { vault: "mine", settings: &settings, environment: &environment, timeout, lasts: true };
    match (vault.backend.build)(&setup) {
        Err(error) => told += &format!("{error:?}\n{error}\n"),
        Ok(backend) => {
            let ask = SecretId { resource: "a".to_owned(), version: None };
            told += &format!("{:?}\n", tokio::time::timeout(timeout, backend.fetch(&ask)).await.map(|it| it.err()));
            told += &format!("{:?}\n", tokio::time::timeout(timeout, backend.diagnose(None)).await);
        }
    }
    told
}

#[tokio::test]
async fn what_the_operator_sets_is_told_by_no_error_no_step_and_no_debug() {
    for given in all_ways() {
        let mut all = JoinSet::new();
        for (backend, opt) in all_options() {
            let options = config_of(backend, opt, &given.value);
            let keys = |form: fn(&str, &str) -> String| -> Vec<_> {
                options.iter().map(|(name, value)| (form(backend.name, name), value.clone())).collect()
            };
            let place = format!("{}.{}", backend.name, opt.name);
            let reference = format!("{{vault://{}/a/b}}", backend.name);
            let conf = keys(|backend, name| format!("vault_{backend}_{name}")).into_iter().collect();
            let config = Config::load(&conf, &environment(&[]));
            all.spawn(async move { (told(config, reference).await, place) });
            let variables = keys(|backend, name| format!("KONG_VAULT_{backend}_{name}").to_uppercase());
            let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let config = Config::load(&BTreeMap::new(), &environment(&variables));
            let text = format!("{config:?} {:?}", config.as_ref().map(Config::check));
            given.is_hidden_in(&text, &format!("{}.{} by the environment", backend.name, opt.name));
        }
        for (told, place) in all.join_all().await {
            given.is_hidden_in(&told, &place);
        }
        for opt in OWN {
            let config = Config::load(&BTreeMap::from([(opt.name.to_owned(), given.value.clone())]), &environment(&[]));
            if opt.name != "vault_data_dir" {
                given.is_hidden_in(&format!("{config:?}"), opt.name);
            }
        }
    }
}

#[test]
fn what_an_entity_holds_is_told_by_no_error() {
    for given in all_ways() {
        for (backend, opt) in all_options() {
            let place = format!("{}.{}", backend.name, opt.name);
            let entity = entity_of(backend, opt, &given.value);
            let checked = entity::check(&entity, ALL, Verification::Optional);
            given.is_hidden_in(&format!("{checked:?}"), &place);
            let config = Config::load(&BTreeMap::new(), &environment(&[])).unwrap();
            let listed = vec![entity::listed(&entity, ALL, "the file")];
            config.replace_entities(config.read_entities(listed, "the file", &IndirectValues::default()));
            let reference = format!("{{vault://{}/a/b}}", prefix_of(backend, opt));
            given.is_hidden_in(
                &format!("{config:?} {:?}", ResolvedReference::resolve(reference.as_bytes(), &config)),
                &place,
            );
        }
    }
}

/// Sends one request for each body, all at once.
fn send(bed: &Bed, method: &str, bodies: &[Value]) -> Vec<Called> {
    let paths: Vec<_> = bodies.iter().map(|body| format!("/vaults/{}", body["prefix"].as_str().unwrap())).collect();
    let texts: Vec<_> = bodies.iter().map(Value::to_string).collect();
    let requests = paths.iter().zip(&texts);
    let requests = requests.map(|(path, text)| (method, path.as_str(), Some("application/json"), text.as_bytes()));
    bed.send_all(&requests.collect::<Vec<_>>())
}

#[test]
fn what_an_entity_holds_is_told_by_no_answer_and_comes_back_as_it_was() {
    let bed = Bed::new();
    let stored = || -> Value { serde_json::from_str(&bed.file().unwrap()).unwrap() };
    for given in all_ways() {
        let sent: Vec<_> = all_options().map(|(backend, opt)| entity_of(backend, opt, &given.value)).collect();
        let answers = send(&bed, "PUT", &sent);
        for (entity, answer) in sent.iter().zip(&answers) {
            given.is_hidden_in(&format!("{answer:?}"), &entity["prefix"].to_string());
        }
        let list = bed.get("/vaults?size=1000");
        given.is_hidden_in(list.body.as_deref().unwrap(), "the list");
        let shown: Vec<_> = list.json()["data"].as_array().unwrap().clone();
        assert!(shown.len() >= 20, "{}", shown.len());
        let configs = || -> BTreeMap<String, Value> {
            let vaults = stored()["vaults"].as_array().unwrap().clone();
            vaults.iter().map(|vault| (vault["prefix"].to_string(), vault["config"].clone())).collect()
        };
        let before = configs();
        for (method, answers) in [("PUT", send(&bed, "PUT", &shown)), ("PATCH", send(&bed, "PATCH", &shown))] {
            assert!(answers.iter().all(|answer| answer.status == 200), "{method}: {answers:?}");
            assert_eq!(configs(), before, "{method}");
        }
        // In another entity, a mask stands for nothing.
        let masked = shown.into_iter().filter(|vault| vault["config"].to_string().contains(MASK));
        let elsewhere: Vec<_> = masked
            .map(|mut vault| {
                vault["prefix"] = format!("{}-elsewhere", vault["prefix"].as_str().unwrap()).into();
                vault["id"].take();
                vault
            })
            .collect();
        assert!(send(&bed, "PUT", &elsewhere).iter().all(|answer| answer.status == 400));
        assert!(!stored().to_string().contains(MASK));
        send(&bed, "DELETE", &sent);
    }
}

/// A configuration as usual, and one with Kong's rules.
fn usual_and_strict() -> [Config; 2] {
    ["off", "on"].map(|strict| {
        let conf = BTreeMap::from([("vault_strict_compatibility".to_owned(), strict.to_owned())]);
        Config::load(&conf, &environment(&[])).unwrap()
    })
}

/// `write`: how the value stands in the reference.
fn a_references_option_is_told_by_no_error(write: fn(&str) -> String) {
    let configs = usual_and_strict();
    for given in all_ways() {
        let unknown = ["tokn", "pasword", "x", "TOKEN", "to%6ben"].map(|name| ("hcv", name.to_owned()));
        let known = all_options().map(|(backend, opt)| (backend.name, opt.name.to_owned()));
        for (backend, name) in known.chain(unknown) {
            let value = write(&given.value);
            for (start, end) in [("{vault://", "}"), ("{vault:/", "#x}")] {
                let text = format!("{start}{backend}/a/b?ttl=1&{name}={value}&min_ttl=1{end}");
                for config in &configs {
                    let resolved = ResolvedReference::resolve(text.as_bytes(), config);
                    given.is_hidden_in(&format!("{resolved:?}"), &text);
                }
                given.is_hidden_in(&kong_vault::reference::quote(text.as_bytes()), &text);
                given.is_hidden_in(&kong_vault::reference::name(text.as_bytes()), &text);
                given.is_hidden_in(&format!("{:?}", kong_vault::reference::parse(text.as_bytes())), &text);
            }
        }
    }
}

// Two tests, as each takes long: they run side by side.
#[test]
fn what_a_references_option_holds_is_told_by_no_error() {
    a_references_option_is_told_by_no_error(|value| value.replace(['&', '+', '#', '}'], ""));
}

#[test]
fn what_a_references_option_holds_in_percent_encoding_is_told_by_no_error() {
    a_references_option_is_told_by_no_error(|value| {
        percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
    });
}

#[test]
fn what_a_reference_holds_elsewhere_is_told_by_no_error() {
    let configs = usual_and_strict();
    for given in all_ways() {
        for text in [format!("{{vault://{}@env/a}}", given.value), given.value.clone()] {
            given.is_hidden_in(&format!("{:?}", kong_vault::reference::parse(text.as_bytes())), &text);
        }
    }
    // The end of a value with an `&` in it, which nobody has encoded.
    let ends = ["", "ss-", "a=", "TOKEN_", "%2d"].map(|start| format!("{start}{MARKER}"));
    for (backend, opt) in all_options().filter(|(_, opt)| opt.sensitive) {
        for end in ends.iter().flat_map(|end| [end.clone(), format!("{end}&q"), format!("{end}=x"), format!("{end}#x")])
        {
            let text = format!("{{vault://{}/a/b?{}=p&{end}}}", backend.name, opt.name);
            let given = Given::of("the end of a value", MARKER.to_owned());
            for config in &configs {
                given.is_hidden_in(&format!("{:?}", ResolvedReference::resolve(text.as_bytes(), config)), &text);
            }
            given.is_hidden_in(&kong_vault::reference::quote(text.as_bytes()), &text);
            given.is_hidden_in(&kong_vault::reference::name(text.as_bytes()), &text);
            given.is_hidden_in(&format!("{:?}", kong_vault::reference::parse(text.as_bytes())), &text);
        }
    }
    for plain in ["{vault://hcv/a?proxy=http://u:p@h}", "{vault://hcv/a?approle_role_id=id}", "{vault://hcv/a?jwt=ab}"]
    {
        let quoted = kong_vault::reference::quote(plain.as_bytes());
        assert!(quoted.ends_with("=***"), "{quoted}");
    }
}

/// A query without its `?`, or with another sign for its `&`: to the grammar it is a part of a name.
#[test]
fn options_behind_a_wrong_sign_are_hidden_as_in_a_query() {
    let given = Given::of("behind a wrong sign", MARKER.to_owned());
    let starts =
        [";", "&", "/", "#", ",", "|", " ", "%3f", "%26", "?ttl=1;", "?mount=a;ttl=1,", ";mount=a&", "/b&mount=x?"];
    for (backend, opt) in all_options().filter(|(_, opt)| opt.sensitive) {
        for start in starts {
            for name in [opt.name.to_owned(), format!("config.{}", opt.name)] {
                let text = format!("{{vault://{}/a{start}{name}={MARKER}}}", backend.name);
                given.is_hidden_in(&kong_vault::reference::quote(text.as_bytes()), &text);
                given.is_hidden_in(&kong_vault::reference::name(text.as_bytes()), &text);
            }
        }
    }
    for plain in [
        "{vault://hcv/a;mount=kv}",
        "{vault://hcv/role=admin/a}",
        "{vault://hcv/a/b?ttl=5#2}",
        "{vault://hcv/a&b/c;d=e}",
    ] {
        assert_eq!(kong_vault::reference::quote(plain.as_bytes()), plain);
    }
    // What is not looked at is not shown.
    for part in [";a=", "&a=b", "/token=", ";jwt=a"] {
        let text = format!("{{vault://hcv/{}{};jwt={MARKER}}}", "a", part.repeat(200));
        given.is_hidden_in(&kong_vault::reference::quote(text.as_bytes()), &text);
    }
}

/// What is given in the place of a file's path, and is no path: an error tells its length at the most.
#[tokio::test]
async fn what_is_no_path_is_not_told() {
    let of_files: Vec<_> = all_options().filter(|(_, opt)| matches!(opt.holds, Holds::File | Holds::Pem)).collect();
    assert!(of_files.len() >= 10, "{}", of_files.len());
    for value in [MARKER.to_owned(), format!("/{MARKER}"), format!("./a/{MARKER}"), format!("/{MARKER}").repeat(500)] {
        let given = Given::of("what is no path", value);
        let mut all = JoinSet::new();
        for (backend, opt) in &of_files {
            let options = config_of(backend, opt, &given.value);
            let conf = options.iter().map(|(name, value)| (format!("vault_{}_{name}", backend.name), value.clone()));
            let config = Config::load_with(
                &conf.collect(),
                ConfigSource::Configure,
                &environment(&[]),
                ALL,
                &IndirectValues::default(),
            );
            let (name, reference) = (opt.name, format!("{{vault://{}/a/b}}", backend.name));
            all.spawn(async move { (told(config, reference).await, name) });
        }
        for (told, place) in all.join_all().await {
            given.is_hidden_in(&told, place);
        }
    }
}

#[test]
fn every_option_with_a_path_or_a_url_says_so() {
    for (backend, opt) in all_options().chain(OWN.iter().map(|opt| (ALL[0], opt))) {
        let says = |words: &[&str]| words.iter().any(|word| opt.help.contains(word) || opt.accepts().contains(word));
        let expected = match opt.kind.name() {
            "text" if opt.sensitive || opt.name == "host" => continue,
            "text" if says(&["PEM text"]) => Holds::Pem,
            "text" if opt.name.ends_with("_file") || says(&["a file", "a folder", "a YAML"]) => Holds::File,
            "text" if opt.name.ends_with("_url") || opt.name.ends_with("_endpoint") => Holds::Url,
            _ => continue,
        };
        assert_eq!(opt.holds, expected, "{}.{}", backend.name, opt.name);
    }
    assert!(FIELDS.contains(&"config"));
}
