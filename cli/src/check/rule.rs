//! The rules of `check`: what a finding breaks, by an id that does not change between versions.

/// How bad a finding is. Only an error changes the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// kong-vault can't judge all of it, and leaves the rest to Kong.
    Note,
    /// It is accepted, but probably not intended.
    Warning,
    Error,
}

macro_rules! rules {
    ($($severity:ident $rule:ident $id:literal $summary:literal $fix:literal)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($rule),*
        }

        impl Rule {
            /// All rules, in the order of their documentation.
            pub const ALL: &[Rule] = &[$(Rule::$rule),*];

            pub fn id(self) -> &'static str {
                match self { $(Rule::$rule => $id),* }
            }

            pub fn severity(self) -> Severity {
                match self { $(Rule::$rule => Severity::$severity),* }
            }

            /// What is wrong, in one sentence.
            pub fn summary(self) -> &'static str {
                match self { $(Rule::$rule => $summary),* }
            }

            /// What to do, in one sentence.
            pub fn fix(self) -> &'static str {
                match self { $(Rule::$rule => $fix),* }
            }
        }
    };
}

rules! {
    Error UnknownVault "unknown-vault"
        "A reference names a vault that is not configured or is disabled."
        "Correct the name, add a vault entity with this prefix, or add the backend to `vaults`."
    Error BrokenVault "broken-vault"
        "A reference names a vault entity that has mistakes."
        "Correct the vault entity."
    Error MalformedReference "malformed-reference"
        "A reference is malformed."
        "Write `{vault://VAULT/SECRET/FIELD}`."
    Error UnquotedReference "unquoted-reference"
        "A reference has no quotes, so YAML reads its braces as a mapping."
        "Put the reference in quotes."
    Error ReferenceOption "reference-option"
        "A reference sets an option that is unknown, invalid or not allowed there."
        "Remove the option from the reference, or set it in a vault entity."
    Error ProtectedVariable "protected-variable"
        "A reference reads an environment variable that holds a credential of kong-vault."
        "Read another variable, or list this one in `vault_allow_env_credentials`."
    Error Unresolved "unresolved"
        "With `--resolve`: a reference has no value."
        "Do what the message says; `kong-vault doctor` checks each step to the vault."
    Error InvalidPrefix "invalid-prefix"
        "The `prefix` of a vault entity is missing, malformed or reserved."
        "Choose another prefix: lower-case letters, digits and dashes."
    Error InvalidBackend "invalid-backend"
        "The `name` of a vault entity is missing or is no backend."
        "Name a backend: `kong-vault vaults` lists them."
    Error InvalidEntity "invalid-entity"
        "A vault entity has an unknown or invalid field."
        "Correct the field."
    Error DuplicatePrefix "duplicate-prefix"
        "Two vault entities have the same prefix."
        "Remove one of the entities, or give it another prefix."
    Error DuplicateId "duplicate-id"
        "Two vault entities have the same `id`."
        "Remove one of the ids."
    Error UnknownOption "unknown-option"
        "An option does not exist."
        "Correct the name: `kong-vault vaults` lists the options."
    Error InvalidOption "invalid-option"
        "An option has an invalid value, or is not allowed here or together with another one."
        "Correct the value: `kong-vault vaults` lists what each option accepts."
    Error MissingOption "missing-option"
        "An option is missing that a vault, or another option, needs."
        "Set the option that the message names."
    Error UnverifiedCertificates "unverified-certificates"
        "An option turns off the verification of certificates, but `tls_certificate_verify` is on."
        "Remove the option."
    Error Syntax "syntax"
        "A declarative file is not YAML or JSON."
        "Correct the syntax; what follows the error is not checked."
    Error InvalidVaults "invalid-vaults"
        "`vaults` is not a list of vault entities, or the file holds nothing of Kong's format."
        "Write `vaults` as a list of mappings."
    Error InvalidUtf8 "invalid-utf8"
        "A file, or a value of kong-vault in a kong.conf, is no UTF-8 text."
        "Save the file as UTF-8."
    Error FileTooLarge "file-too-large"
        "A file is too large, or too large with its aliases."
        "Split the file."
    Error FileUnreadable "file-unreadable"
        "The file of `vault_declarative_config` can't be read."
        "Correct the path or the permissions."
    Error NoKongConf "not-a-kong-conf"
        "A file has no line `key = value`."
        "Name a kong.conf."
    Error ConfSection "conf-section"
        "A line begins with `[` and names no section, so Kong does not start."
        "Remove the line."
    Error MoreErrors "more-errors"
        "A file has more mistakes than are shown."
        "Correct the ones that are shown first."
    Warning LookAlike "reference-look-alike"
        "A text looks like a reference but is used as plain text."
        "Write `{vault://…}` and nothing else, or another text."
    Warning UncheckedReference "unchecked-reference"
        "A reference can't be checked, as its vault may be in a part that can't be read."
        "Correct the file that can't be read."
    Warning DuplicateKey "duplicate-key"
        "A key is set twice, and the last one counts."
        "Remove one of the lines."
    Warning ConfLine "conf-ignored-line"
        "Kong skips a line of a kong.conf."
        "Do what the message says."
    Warning ConfValue "conf-surprising-value"
        "Kong reads a value of a kong.conf in another way than its author probably meant."
        "Do what the message says."
    Warning DroppedOption "dropped-option"
        "Some versions of Kong drop a key of a kong.conf."
        "Set the option in the environment."
    Warning KongFileUnreadable "kong-file-unreadable"
        "The file of `declarative_config` can't be read here."
        "Correct the path, or run `check` where the file is."
    Warning EmptyFile "empty-file"
        "A declarative file is empty."
        "Name another file."
    Warning FormatVersion "format-version"
        "Kong refuses the `_format_version` of a declarative file."
        "Write \"3.0\", in quotes."
    Warning NoJson "not-json"
        "A file is named as JSON but is YAML."
        "Rename the file."
    Warning SecondDocument "second-document"
        "A file has several YAML documents, and only the first one is used."
        "Move the other documents to files of their own."
    Note LeftToKong "left-to-kong"
        "A vault is of a strategy that kong-vault does not provide."
        "Nothing: Kong or its plugin judges it."
    Note RedactedReference "redacted-reference"
        "A reference of a sanitized dump replaces a value that was left out."
        "Put the value back before the file is used."
    Note MoreNotes "more-notes"
        "A file has more notes than are shown."
        "Nothing."
}

/// The table of docs/check.md.
pub fn markdown() -> String {
    let row = |rule: &Rule| {
        let severity = rule.severity().name();
        format!("| `{}` | {severity} | {} | {} |\n", rule.id(), rule.summary(), rule.fix())
    };
    let rows: String = Rule::ALL.iter().map(row).collect();
    format!("| rule | severity | means | fix |\n|---|---|---|---|\n{rows}")
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}
