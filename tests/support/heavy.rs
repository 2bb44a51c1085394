//! Inputs of any size that are made to cost much: nesting, aliases, tags, keys, mistakes; each of about that many bytes.

pub type Made = fn(usize) -> String;

/// A piece again and again, with its number in the place of `#`.
fn many(size: usize, piece: &str) -> String {
    let mut made = String::with_capacity(size + piece.len());
    for number in 0.. {
        if made.len() >= size {
            break;
        }
        made.push_str(&piece.replace('#', &number.to_string()));
    }
    made
}

/// Each of ten values stands for ten of the one before.
fn laugh(size: usize, list: &str, join: fn(&str) -> String) -> String {
    let mut made = format!("{list}0: &a0 {}\n", join("x"));
    for number in 1.. {
        if made.len() >= size {
            break;
        }
        made += &format!("{list}{number}: &a{number} {}\n", join(&format!("*a{}", number - 1)));
    }
    let last = made.matches('\n').count() - 1;
    made + &format!("vaults: *a{last}\n")
}

/// What a declarative file may be, YAML or JSON.
pub const FILES: &[(&str, Made)] = &[
    ("brackets", |size| format!("vaults: {}", "[".repeat(size))),
    ("closed brackets", |size| format!("vaults: {}{}", "[".repeat(size / 2), "]".repeat(size / 2))),
    ("braces", |size| format!("vaults: {}", many(size, "{a: "))),
    ("lines of brackets", |size| many(size, "[\n")),
    ("lists of one value", |size| many(size, "- ")),
    ("maps of one value", |size| many(size, "? ")),
    ("steps", |size| {
        let mut made = String::new();
        for depth in 0.. {
            if made.len() >= size {
                break;
            }
            made += &format!("{}a:\n", " ".repeat(depth));
        }
        made
    }),
    ("json brackets", |size| format!("{{\"vaults\":{}", "[".repeat(size))),
    ("json braces", |size| many(size, "{\"a\":")),
    ("wide and deep", |size| format!("vaults: {}{}{}", "[".repeat(100), many(size, "1,"), "]".repeat(100))),
    ("laughing lists", |size| laugh(size, "a", |of| format!("[{}]", [of; 10].join(", ")))),
    ("laughing maps", |size| laugh(size, "a", |of| format!("{{b: {of}, c: {of}, d: {of}}}"))),
    ("laughing merges", |size| {
        laugh(size, "a", |of| if of == "x" { "{k: v}".to_owned() } else { format!("{{<<: [{of}, {of}, {of}], k: v}}") })
    }),
    ("an alias again and again", |size| format!("a: &a {{prefix: a1, name: env}}\nvaults: [{}]\n", many(size, "*a,"))),
    ("a large alias", |size| {
        let large = many(size / 2, "k#: v, ");
        format!("a: &a {{{large}}}\nvaults:\n{}", many(size / 2, "- {prefix: a#, name: env, config: *a}\n"))
    }),
    ("merged again and again", |size| {
        let large = many(size / 2, "k#: v, ");
        format!("a: &a {{{large}}}\nvaults:\n{}", many(size / 2, "- {<<: *a, prefix: a#, name: env}\n"))
    }),
    ("one list of merges", |size| format!("a: &a {{b: 1}}\nvaults: [{{<<: [{}]}}]", many(size, "*a,"))),
    ("merges at the root", |size| format!("a: &a {{b: 1}}\n<<: [{}]\n", many(size, "*a,"))),
    ("a chain of merges", |size| format!("a: &a0 {{}}\n{}<<: *a0\n", many(size, "- &a# {}\n").replace("- ", "? "))),
    ("an alias in itself", |size| format!("vaults: &a [{}]", many(size, "*a,"))),
    ("anchors", |size| format!("vaults: [{}]", many(size, "&a# 1,"))),
    ("a long anchor", |size| format!("vaults: [&{} 1]", "a".repeat(size))),
    ("aliases of nothing", |size| many(size, "- *a\n")),
    ("tags", |size| format!("vaults: [{}]", many(size, "!a# 1,"))),
    ("a long tag", |size| format!("vaults: [!{} 1]", "a".repeat(size))),
    ("directives", |size| format!("{}---\nvaults: []\n", many(size, "%TAG !a#! b\n"))),
    ("a tag of directives", |size| format!("%TAG !a! {}\n---\nvaults: [!a!b 1]\n", "b".repeat(size))),
    ("unknown directives", |size| format!("{}---\nvaults: []\n", many(size, "%A\n"))),
    ("documents", |size| many(size, "--- 1\n")),
    ("keys", |size| many(size, "k#: \n")),
    ("one key", |size| many(size, "a: \n")),
    ("json keys", |size| format!("{{{}\"z\":0}}", many(size, "\"k#\":0,"))),
    ("one json key", |size| format!("{{{}\"z\":0}}", many(size, "\"a\":0,"))),
    ("keys that are lists", |size| many(size, "? [a]\n: 1\n")),
    ("a long key", |size| format!("{}: 1\n", "k".repeat(size))),
    ("keys of an entity", |size| format!("vaults: [{{prefix: a1, name: hcv, {}}}]", many(size, "k#: 1,"))),
    ("one key of an entity", |size| format!("vaults: [{{prefix: a1, name: hcv, {}}}]", many(size, "a: 1,"))),
    ("unknown options", |size| format!("vaults: [{{prefix: a1, name: hcv, config: {{{}}}}}]", many(size, "k#: 1,"))),
    ("one option", |size| format!("vaults: [{{prefix: a1, name: hcv, config: {{{}}}}}]", many(size, "token: x,"))),
    ("wrong options", |size| format!("vaults: [{{prefix: a1, name: hcv, config: {{{}}}}}]", many(size, "k#: {},"))),
    ("a long option", |size| {
        format!("vaults: [{{prefix: a1, name: hcv, config: {{token: \"{}\"}}}}]", "x".repeat(size))
    }),
    ("entities", |size| format!("vaults:\n{}", many(size, "- {prefix: a#, name: hcv}\n"))),
    ("empty entities", |size| format!("vaults: [{}]", many(size, "{},"))),
    ("entities of one name", |size| format!("vaults: [{}]", many(size, "{prefix: a1, name: env},"))),
    ("wrong entities", |size| format!("vaults: [{}]", many(size, "{prefix: a#, name: env, x: 1},"))),
    ("names nearly known", |size| format!("vaults: [{}]", many(size, "{prefix: a#, name: hcw},"))),
    ("entities of other options", |size| {
        format!("vaults: [{}]", many(size, "{prefix: a#, name: hcv, config: {tokn: 1, hots: 2, prot: 3}},"))
    }),
    ("tags of an entity", |size| format!("vaults: [{{prefix: a1, name: env, tags: [{}]}}]", many(size, "t#,"))),
    ("references", |size| many(size, "- \"{vault://env/a#}\"\n")),
    ("wrong references", |size| many(size, "- \"{vault://no#}\"\n")),
    ("references to no vault", |size| {
        format!(
            "vaults:\n{}r:\n{}",
            many(size / 2, "- {prefix: a#, name: env}\n"),
            many(size / 2, "- \"{vault://a-#/b}\"\n")
        )
    }),
    ("a long reference", |size| format!("a: \"{{vault://env/{}}}\"\n", "a".repeat(size))),
    ("a reference of many parts", |size| format!("a: \"{{vault://env/{}}}\"\n", "a/".repeat(size / 2))),
    ("a reference of many options", |size| format!("a: \"{{vault://env/a?{}}}\"\n", many(size, "k#=1&"))),
    ("nearly references", |size| many(size, "- \"{vault:/a\"\n")),
    ("a long text", |size| format!("a: {}\n", "x".repeat(size))),
    ("a quoted text", |size| format!("a: \"{}\"\n", "\\u00e4".repeat(size / 6))),
    ("an open text", |size| format!("a: \"{}", "x ".repeat(size / 2))),
    ("a block of lines", |size| format!("a: |\n{}", many(size, "  x\n"))),
    ("folded lines", |size| format!("a: >\n{}", many(size, "  x\n\n"))),
    ("a long number", |size| format!("vaults: [{{prefix: a1, name: hcv, config: {{port: {}}}}}]", "1".repeat(size))),
    ("blanks", |size| " ".repeat(size)),
    ("line breaks", |size| "\n".repeat(size)),
    ("tabs", |size| format!("a:{}", "\t".repeat(size))),
    ("comments", |size| many(size, "#\n")),
    ("colons", |size| many(size, ": ")),
    ("colons without blanks", |size| ":".repeat(size)),
    ("commas", |size| format!("[{}", ",".repeat(size))),
    ("quotes", |size| "'".repeat(size)),
    ("question marks", |size| "?".repeat(size)),
    ("dashes", |size| "-".repeat(size)),
    ("nothing but NUL", |size| "\0".repeat(size)),
    ("NUL at the end", |size| format!("{}\0", many(size, "k#: 1\n"))),
    ("other line breaks", |size| "\u{2028}".repeat(size / 3)),
    ("marks of byte order", |size| "\u{feff}".repeat(size / 3)),
    ("a large tag again and again", |size| {
        format!("%TAG !a! {}\n---\nvaults: [{}]\n", "b".repeat(size / 2), many(size / 2, "!a!b 1,"))
    }),
    ("a large tag of directives", |size| {
        let directives: String = (0..60).map(|at| format!("%TAG !a{at}! {}\n", "b".repeat(size / 128))).collect();
        format!("{directives}---\nvaults: [{}]\n", many(size / 2, "!a1!b 1,"))
    }),
    ("a ladder of merges", |size| {
        let mut made = String::from("a0: &a0 {k: v}\n");
        for number in 1.. {
            if made.len() >= size {
                break;
            }
            made += &format!("a{number}: &a{number} {{<<: *a{}, k{number}: v}}\n", number - 1);
        }
        made + "vaults: []\n"
    }),
    ("an anchor defined again and again", |size| format!("vaults: [{}]", many(size, "&a #,*a,"))),
    ("an anchor that grows", |size| format!("a: &a [x]\nb:\n{}vaults: []\n", many(size, "- &a [*a, *a]\n"))),
    ("aliases as keys", |size| format!("a: &a k\nb:\n{}", many(size, "  *a : #\n"))),
    ("words", |size| format!("a: {}\n", "x ".repeat(size / 2))),
    ("lines of a plain text", |size| format!("a: x\n{}", many(size, "  x\n"))),
    ("empty lines of a plain text", |size| format!("a: x\n{}  x\n", "\n".repeat(size))),
    ("empty lines of a quoted text", |size| format!("a: \"x{}x\"\n", " \n".repeat(size / 2))),
    ("escaped line breaks", |size| format!("a: \"{}\"\n", many(size, "x\\\n"))),
    ("blocks of some indentation", |size| many(size, "k#: |2+\n    x\n\n")),
    ("blocks of no lines", |size| many(size, "- >9-\n")),
    ("indented blanks", |size| format!("a: |\n{}", many(size, "          \n"))),
    ("flow in block", |size| many(size, "- {a: [b, {c: d}], [e]: {f: }}\n")),
    ("flow over lines", |size| format!("vaults: [\n{}\n]\n", many(size, "  a:\n b,\n"))),
    ("complex keys", |size| many(size, "? [a#, {b: c}]\n: [d]\n")),
    ("keys without values", |size| many(size, "? k#\n")),
    ("keys of a flow", |size| format!("{{{}}}", many(size, "? k#,"))),
    ("up and down", |size| many(size, "k#:\n a:\n  a:\n   a:\n    - b\n")),
    ("tabs between", |size| many(size, "k#:\t\t\tb\t\n")),
    ("versions of YAML", |size| format!("{}---\nvaults: []\n", many(size, "%YAML 1.1\n"))),
    ("documents with something in them", |size| many(size, "---\nvaults: [{prefix: a#}]\n...\n")),
    ("a mark of byte order and NULs", |size| format!("\u{feff}{}", "a\0".repeat(size / 2))),
    ("json in an option", |size| {
        format!("vaults: [{{prefix: a1, name: hcv, config: {{token: '{}'}}}}]", many(size, "{\"a\":["))
    }),
    ("a deep option", |size| {
        let deep = format!("{}{}", "[".repeat(size / 2), "]".repeat(size / 2));
        format!("vaults: [{{prefix: a1, name: hcv, config: {{redirect_hosts: {deep}}}}}]")
    }),
    ("numbers of all kinds", |size| many(size, "- [0x#f, 0o#7, #e#, -.#, 1_#_0, #:59:59, .inf, 2001-01-01]\n")),
    ("a long hexadecimal number", |size| format!("a: 0x{}\n", "f".repeat(size))),
    ("a long time", |size| format!("a: 1{}\n", ":59".repeat(size / 3))),
    ("a long fraction", |size| format!("vaults: [{{prefix: a1, name: hcv, config: {{ttl: 0.{}}}}}]", "1".repeat(size))),
    ("escapes in a reference", |size| format!("a: \"{{vault://env/{}}}\"\n", "%41".repeat(size / 3))),
    ("signs of percent in references", |size| many(size, "- \"{vault://env/%%%#}\"\n")),
    ("users in a reference", |size| format!("a: \"{{vault://{}}}\"\n", "a@".repeat(size / 2))),
    ("json escapes", |size| format!("{{\"a\":\"{}\"}}", "\\ud83d\\u0041\\/".repeat(size / 14))),
    ("json numbers", |size| format!("{{\"a\":[{}1]}}", many(size, "1e#,-0.#,"))),
    ("json that ends in the middle", |size| format!("{{\"vaults\": [{}", many(size, "{\"prefix\": \"a#\"},"))),
];

/// What a kong.conf may be.
pub const CONFS: &[(&str, Made)] = &[
    ("unknown keys", |size| many(size, "vault_k# = 1\n")),
    ("unknown keys of a vault", |size| many(size, "vault_hcv_k# = 1\n")),
    ("keys of Kong's vaults", |size| many(size, "vault_gcp_k# = 1\n")),
    ("keys of Kong's", |size| many(size, "k# = 1\n")),
    ("one key", |size| many(size, "a=1\n")),
    ("one key of ours", |size| many(size, "vault_hcv_token = 1\n")),
    ("no keys", |size| many(size, "a\n")),
    ("references", |size| many(size, "k# = {vault://env/a#}\n")),
    ("a list of references", |size| format!("a = {}", many(size, "{vault://env/a#},"))),
    ("references to no vault", |size| many(size, "k# = {vault://no#/a}\n")),
    ("nearly references", |size| many(size, "k# = {vault:/a\n")),
    ("a long key", |size| format!("vault_{} = 1\n", "k".repeat(size))),
    ("a long value", |size| format!("vault_hcv_token = {}\n", "x".repeat(size))),
    ("names of vaults", |size| format!("vaults = {}\n", many(size, "env,"))),
    ("names of no vaults", |size| format!("vaults = {}\n", many(size, "a#,"))),
    ("names of no vaults and their keys", |size| {
        let names = (0..size / 16).map(|at| format!("a{at:06},")).collect::<String>();
        let keys = (0..size / 36).map(|at| format!("vault_zz_k{at:06} = 1\n")).collect::<String>();
        format!("vaults = env,{names}zz\n{keys}")
    }),
    ("other names of no vaults", |size| {
        format!("vaults = {}\n", (0..size / 8).map(|at| format!("a{at:06},")).collect::<String>())
    }),
    ("other names of misspelt vaults", |size| {
        format!("vaults = {}\n", (0..size / 5).map(|at| format!("hc{},", at % 90 + 10)).collect::<String>())
    }),
    ("a long list", |size| format!("vault_hcv_redirect_hosts = {}\n", many(size, "a#,"))),
    ("quotes", |size| format!("vault_hcv_token = {}\n", "\" ".repeat(size / 2))),
    ("escapes", |size| format!("vault_hcv_token = {}\n", "\\#".repeat(size / 2))),
    ("comments", |size| many(size, "#\n")),
    ("equals signs", |size| "=".repeat(size)),
];

/// What a body of the Admin API may be, as JSON.
pub const BODIES: &[(&str, Made)] = &[
    ("brackets", |size| "[".repeat(size)),
    ("deep brackets", |size| format!("{{\"config\":{}{}}}", "[".repeat(size / 2), "]".repeat(size / 2))),
    ("braces", |size| many(size, "{\"a\":")),
    ("tags", |size| format!("{{\"name\":\"env\",\"tags\":[{}\"z\"]}}", many(size, "\"t#\","))),
    ("one tag", |size| format!("{{\"name\":\"env\",\"tags\":[{}\"z\"]}}", many(size, "\"t\","))),
    ("wrong tags", |size| format!("{{\"name\":\"env\",\"tags\":[{}1]}}", many(size, "\"t#\","))),
    ("unknown fields", |size| format!("{{\"name\":\"env\",{}\"z\":1}}", many(size, "\"k#\":1,"))),
    ("unknown options", |size| format!("{{\"name\":\"hcv\",\"config\":{{{}\"z\":1}}}}", many(size, "\"k#\":1,"))),
    ("one unknown option", |size| format!("{{\"name\":\"hcv\",\"config\":{{{}\"z\":1}}}}", many(size, "\"k\":1,"))),
    ("wrong options", |size| format!("{{\"name\":\"hcv\",\"config\":{{{}\"z\":1}}}}", many(size, "\"token\":{},"))),
    ("a list of an option", |size| {
        format!("{{\"name\":\"hcv\",\"config\":{{\"redirect_hosts\":[{}\"z\"]}}}}", many(size, "\"a#\","))
    }),
    ("a list of empty texts", |size| {
        format!("{{\"name\":\"hcv\",\"config\":{{\"redirect_hosts\":[{}\"z\"]}}}}", many(size, "\"\","))
    }),
    ("a long option", |size| format!("{{\"name\":\"hcv\",\"config\":{{\"token\":\"{}\"}}}}", "x".repeat(size))),
    ("a long path", |size| format!("{{\"name\":\"hcv\",\"config\":{{\"mount\":\"{}\"}}}}", "a/".repeat(size / 2))),
    ("a long prefix", |size| format!("{{\"name\":\"env\",\"prefix\":\"{}\"}}", "a".repeat(size))),
    ("a long name", |size| format!("{{\"name\":\"{}\"}}", "a".repeat(size))),
    ("a long description", |size| format!("{{\"name\":\"env\",\"description\":\"{}\"}}", "\\u00e4".repeat(size / 6))),
    ("a long id", |size| format!("{{\"name\":\"env\",\"id\":\"{}\"}}", "a".repeat(size))),
    ("a long number", |size| format!("{{\"name\":\"hcv\",\"config\":{{\"port\":{}}}}}", "1".repeat(size))),
    ("one field", |size| format!("{{{}\"name\":\"env\"}}", many(size, "\"name\":\"hcv\","))),
    ("objects in an option", |size| {
        format!("{{\"name\":\"hcv\",\"config\":{{\"token\":{}1{}}}}}", "{\"a\":".repeat(size / 6), "}".repeat(size / 6))
    }),
    ("json in an option", |size| {
        format!("{{\"name\":\"hcv\",\"config\":{{\"token\":\"{}\"}}}}", "{\\\"a\\\":".repeat(size / 7))
    }),
    ("escapes of no character", |size| {
        format!("{{\"name\":\"env\",\"description\":\"{}\"}}", "\\ud800".repeat(size / 6))
    }),
    ("NULs", |size| format!("{{\"name\":\"env\",\"description\":\"{}\"}}", "\\u0000".repeat(size / 6))),
    ("large numbers", |size| format!("{{\"name\":\"hcv\",\"config\":{{{}\"ttl\":1}}}}", many(size, "\"ttl\":1e30#,"))),
    ("a reference in an option", |size| {
        format!("{{\"name\":\"hcv\",\"config\":{{\"token\":\"{{vault://env/{}}}\"}}}}", "%41".repeat(size / 3))
    }),
    ("numbers", |size| format!("{{\"name\":\"env\",\"tags\":[{}1]}}", many(size, "1,"))),
    ("blanks", |size| " ".repeat(size)),
];

/// The same as a form.
pub const FORMS: &[(&str, Made)] = &[
    ("fields", |size| many(size, "k#=1&")),
    ("options", |size| format!("name=hcv&{}", many(size, "config.k#=1&"))),
    ("tags", |size| format!("name=env&{}", many(size, "tags[]=t#&"))),
    ("parts", |size| format!("a{}=1", "[b]".repeat(size / 3))),
    ("dots", |size| format!("a{}=1", ".".repeat(size))),
    ("brackets", |size| format!("a{}=1", "[".repeat(size))),
    ("escapes", |size| format!("description={}", "%C3%A4".repeat(size / 6))),
    ("ampersands", |size| "&".repeat(size)),
    ("parts of an option", |size| format!("name=hcv&config{}=1", many(size, "[k#]"))),
    ("fields of many parts", |size| many(size, &format!("config{}[k#]=1&", "[a]".repeat(40)))),
    ("one field", |size| many(size, "name=hcv&")),
    ("a field and its parts", |size| many(size, "config=1&config[a]=1&config.a.b=1&")),
    ("places of a list", |size| format!("name=env&{}", many(size, "tags[#]=t&"))),
    ("far places of a list", |size| format!("name=env&{}", many(size, "tags[9999#]=t&"))),
    ("signs of percent", |size| format!("description={}", "%".repeat(size))),
    ("escapes in names", |size| format!("{}=1", "%5B%5D".repeat(size / 6))),
    ("equals signs", |size| "=".repeat(size)),
    ("a list", |size| format!("name=hcv&config.redirect_hosts={}", many(size, "a#,"))),
];

/// What a secret may hold; the field asked for is `z`.
pub const DOCUMENTS: &[(&str, Made)] = &[
    ("fields", |size| format!("{{{}\"z\":\"a\"}}", many(size, "\"k#\":\"v\","))),
    ("one field", |size| format!("{{{}}}", many(size, "\"z\":\"a\",").trim_end_matches(','))),
    ("deep lists", |size| format!("{{\"a\":{}{},\"z\":\"a\"}}", "[".repeat(size / 2), "]".repeat(size / 2))),
    ("deep objects", |size| format!("{{\"a\":{}1{},\"z\":\"a\"}}", "{\"a\":".repeat(size / 6), "}".repeat(size / 6))),
    ("a deep list that is broken off", |size| format!("{{\"a\":{}", "[".repeat(size))),
    ("a long text", |size| format!("{{\"z\":\"{}\"}}", "x".repeat(size))),
    ("escapes", |size| format!("{{\"z\":\"{}\"}}", "\\ud83d\\udd10".repeat(size / 12))),
    ("a long number", |size| format!("{{\"a\":{},\"z\":\"a\"}}", "1".repeat(size))),
    ("numbers", |size| format!("{{\"a\":[{}1],\"z\":\"a\"}}", "1e5,".repeat(size / 4))),
    ("base64", |size| format!("{{\"z\":\"{}\"}}", "QUJD ".repeat(size / 5))),
    ("blanks", |size| format!("{{{}\"z\":\"a\"}}", " ".repeat(size))),
    ("no JSON", |size| "x".repeat(size)),
];

/// What a reference may be.
pub const REFERENCES: &[(&str, Made)] = &[
    ("a name", |size| format!("{{vault://{}/a}}", "a".repeat(size))),
    ("parts", |size| format!("{{vault://hcv/{}}}", "a/".repeat(size / 2))),
    ("slashes", |size| format!("{{vault://hcv/{}a}}", "/".repeat(size))),
    ("escapes", |size| format!("{{vault://hcv/a/{}}}", "%41".repeat(size / 3))),
    ("options", |size| format!("{{vault://hcv/a/b?{}}}", many(size, "k#=1&"))),
    ("one option", |size| format!("{{vault://hcv/a/b?{}}}", "ttl=1&".repeat(size / 6))),
    ("bare options", |size| format!("{{vault://hcv/a/b?{}}}", "&".repeat(size))),
    ("a long option", |size| format!("{{vault://hcv/a/b?{}=1}}", "k".repeat(size))),
    ("a long value", |size| format!("{{vault://hcv/a/b?ttl={}}}", "1".repeat(size))),
    ("signs of percent", |size| format!("{{vault://hcv/a/{}}}", "%".repeat(size))),
    ("no escapes", |size| format!("{{vault://hcv/a/{}}}", "%zz".repeat(size / 3))),
    ("users", |size| format!("{{vault://{}hcv/a}}", "a@".repeat(size / 2))),
    ("URLs", |size| format!("{{vault://{}}}", "a://".repeat(size / 4))),
    ("question marks", |size| format!("{{vault://hcv/a{}}}", "?".repeat(size))),
    ("options without names", |size| format!("{{vault://hcv/a?{}}}", "=&".repeat(size / 2))),
    ("escaped options", |size| format!("{{vault://hcv/a?{}}}", "%74tl=1+&".repeat(size / 9))),
    ("a wrong text", |size| format!("{{vault://hcv/a?auth_method={}}}", "a ".repeat(size / 2))),
    ("a version", |size| format!("{{vault://hcv/a/b#{}}}", "1".repeat(size))),
    ("versions", |size| format!("{{vault://hcv/a/b{}}}", "#1".repeat(size / 2))),
    ("braces", |size| "{".repeat(size)),
    ("no reference", |size| format!("{{vault://{}", "a".repeat(size))),
];
