//! What an answer to `BatchGetSecretValue` says of each secret.

use serde::Deserialize;

use super::answer::secret;
use crate::secret::{Secret, WipedText};

/// The parts of an answer that are used.
#[derive(Deserialize)]
struct Page {
    #[serde(rename = "SecretValues")]
    values: Option<Vec<Value>>,
    #[serde(rename = "Errors")]
    errors: Option<Vec<EntryError>>,
    #[serde(rename = "NextToken")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Value {
    #[serde(rename = "ARN", default)]
    arn: String,
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "SecretString")]
    text: Option<WipedText>,
    #[serde(rename = "SecretBinary")]
    binary: Option<WipedText>,
}

#[derive(Deserialize)]
pub struct EntryError {
    #[serde(rename = "SecretId")]
    asked: String,
    #[serde(rename = "ErrorCode")]
    pub code: String,
    #[serde(rename = "Message", default)]
    pub message: Option<String>,
}

/// What all pages of an answer say.
#[derive(Default)]
pub struct BatchAnswer {
    secrets: Vec<(SecretNames, std::result::Result<Secret, &'static str>)>,
    errors: Vec<EntryError>,
}

/// By which a secret may be asked for.
#[derive(PartialEq, Eq)]
struct SecretNames {
    arn: String,
    name: String,
}

impl SecretNames {
    /// By name, by ARN, or by an ARN without the six characters that AWS adds to the name in it.
    fn are_meant_by(&self, asked: &str) -> bool {
        let is_partial = || {
            let added = self.arn.strip_prefix(asked).and_then(|rest| rest.strip_prefix('-'));
            added.is_some_and(|added| added.len() == 6) && asked.ends_with(&format!(":secret:{}", self.name))
        };
        asked == self.name || asked == self.arn || is_partial()
    }
}

impl BatchAnswer {
    /// Adds a page. Returns the token of the next one, if there is one; or `None` where it is no answer of this operation.
    pub fn add(&mut self, body: &[u8]) -> Option<Option<String>> {
        let page: Page = serde_json::from_slice(body).ok()?;
        if page.values.is_none() && page.errors.is_none() {
            return None;
        }
        for Value { arn, name, text, binary } in page.values.into_iter().flatten() {
            self.secrets.push((SecretNames { arn, name }, secret(text, binary)));
        }
        self.errors.extend(page.errors.into_iter().flatten());
        Some(page.next)
    }

    /// The secret that is meant, if it is exactly one.
    pub fn find(&self, asked: &str) -> Option<&std::result::Result<Secret, &'static str>> {
        let mut meant = self.secrets.iter().filter(|(names, _)| names.are_meant_by(asked));
        let (names, value) = meant.next()?;
        meant.all(|(others, _)| others == names).then_some(value)
    }

    pub fn error(&self, asked: &str) -> Option<&EntryError> {
        self.errors.iter().find(|error| error.asked == asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:";

    fn names(name: &str) -> SecretNames {
        SecretNames { arn: format!("{ARN}{name}-AbCdEf"), name: name.to_owned() }
    }

    #[test]
    fn a_secret_is_meant_by_its_name_its_arn_and_its_arn_without_the_characters_at_its_end() {
        let db = names("team/db");
        for (asked, is_meant) in [
            ("team/db".to_owned(), true),
            (format!("{ARN}team/db-AbCdEf"), true),
            (format!("{ARN}team/db"), true),
            ("team/d".to_owned(), false),
            ("team/db-AbCdEf".to_owned(), false),
            (format!("{ARN}team/db-"), false),
            (format!("{ARN}team/db-AbCdE"), false),
            (ARN.replace(":secret:", ""), false),
            (String::new(), false),
        ] {
            assert_eq!(db.are_meant_by(&asked), is_meant, "{asked}");
        }
        // The whole ARN of `db` is the ARN of `db-AbCdEf` without its end.
        assert!(names("db-AbCdEf").are_meant_by(&format!("{ARN}db-AbCdEf")));
        assert!(names("db").are_meant_by(&format!("{ARN}db-AbCdEf")));
    }

    fn answer(bodies: &[&str]) -> BatchAnswer {
        let mut answer = BatchAnswer::default();
        for body in bodies {
            assert!(answer.add(body.as_bytes()).is_some(), "{body}");
        }
        answer
    }

    #[test]
    fn values_and_errors_are_found_whatever_their_order_and_page() {
        let found = answer(&[
            r#"{"SecretValues":[{"ARN":"arn:b-AbCdEf","Name":"b","SecretBinary":"AP8=","VersionStages":["AWSCURRENT"]}],"NextToken":"t"}"#,
            r#"{"SecretValues":[],"NextToken":"u"}"#,
            r#"{"SecretValues":[{"ARN":"arn:a-AbCdEf","Name":"a","SecretString":"of a"},{"ARN":"arn:c-AbCdEf","Name":"c"}],
                "Errors":[{"SecretId":"gone","ErrorCode":"ResourceNotFoundException","Message":"can't find"}]}"#,
        ]);
        assert_eq!(found.find("a"), Some(&Ok(Secret::new("of a"))));
        assert_eq!(found.find("arn:b-AbCdEf"), Some(&Ok(Secret::new(*b"\0\xff"))));
        assert!(found.find("c").unwrap().as_ref().unwrap_err().contains("neither SecretString nor SecretBinary"));
        assert!(found.find("gone").is_none());
        assert_eq!(found.error("gone").unwrap().code, "ResourceNotFoundException");
        assert!(found.error("a").is_none());
    }

    #[test]
    fn what_could_be_either_of_two_secrets_is_left_to_a_single_fetch() {
        let value =
            |name: &str| format!(r#"{{"ARN":"{ARN}{name}-AbCdEf","Name":"{name}","SecretString":"of {name}"}}"#);
        let both = answer(&[&format!(r#"{{"SecretValues":[{},{}]}}"#, value("db"), value("db-AbCdEf"))]);
        assert!(both.find(&format!("{ARN}db-AbCdEf")).is_none());
        assert_eq!(both.find("db"), Some(&Ok(Secret::new("of db"))));
        assert_eq!(both.find(&format!("{ARN}db")), Some(&Ok(Secret::new("of db"))));
        let twice = answer(&[&format!(r#"{{"SecretValues":[{},{}]}}"#, value("db"), value("db"))]);
        assert_eq!(twice.find("db"), Some(&Ok(Secret::new("of db"))), "asked for by name and by ARN");
    }

    #[test]
    fn what_is_no_answer_to_this_operation_is_none() {
        for body in
            ["", "<html>", "[]", "{}", r#"{"Name":"a","SecretString":"b"}"#, r#"{"SecretValues":[{"SecretString":7}]}"#]
        {
            assert!(BatchAnswer::default().add(body.as_bytes()).is_none(), "{body}");
        }
        answer(&[r#"{"SecretValues":[],"Errors":null}"#, r#"{"Errors":[]}"#]);
    }
}
