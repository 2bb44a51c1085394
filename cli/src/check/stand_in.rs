//! Values for options that are references themselves: without a fetch they have none, but they are set.

use kong_vault::options::Opt;

/// Texts that options accept: a word, a path, an address, accounts of AWS and Google, a number, a switch.
const TEXTS: [&str; 7] =
    ["x", "/x", "https://x", "arn:aws:iam::000000000000:role/x", "x@x.iam.gserviceaccount.com", "1", "true"];

/// Returns a text that the option accepts; `None` where it has a default, which does as well.
pub fn stand_in(opt: &Opt) -> Option<&'static str> {
    TEXTS.into_iter().find(|text| opt.default.is_none() && opt.parse(text).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kong_vault::backend::registry::ALL;
    use kong_vault::config::options_of;

    #[test]
    fn each_option_that_is_needed_has_one() {
        for backend in ALL {
            let needed = |opt: &Opt| {
                opt.required || backend.requirements.iter().any(|it| [it.all, it.any].concat().contains(&opt.name))
            };
            let without = |opt: &&Opt| opt.default.is_none() && stand_in(opt).is_none();
            let left: Vec<_> = options_of(backend).filter(|opt| needed(opt)).filter(without).collect();
            assert!(left.is_empty(), "{}: {:?}", backend.name, left.iter().map(|opt| opt.name).collect::<Vec<_>>());
        }
    }
}
