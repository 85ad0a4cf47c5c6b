//! Reads what a registry says in `WWW-Authenticate`.

use std::collections::BTreeMap;

/// How a registry wants to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// With a token that `realm` gives out.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// Takes the first of several challenges that is of a known kind; tokens go before passwords.
    pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut known: Vec<Self> = headers.filter_map(Self::parse).collect();
        let best = known.iter().position(|challenge| *challenge != Self::Basic).unwrap_or(0);
        (!known.is_empty()).then(|| known.swap_remove(best))
    }

    fn parse(header: &str) -> Option<Self> {
        let (kind, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if kind.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !kind.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        let realm = parameters.remove("realm")?;
        Some(Self::Bearer { realm, service: parameters.remove("service"), scope: parameters.remove("scope") })
    }
}

/// Reads `a="b, c",d=e`.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let (value, left) = value(after);
        found.insert(name.trim_matches([' ', ',', '\t']).to_ascii_lowercase(), value);
        rest = left;
    }
    found
}

fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.trim_start().strip_prefix('"') else {
        let end = text.find(',').unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            _ => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let (service, scope) = (service.map(str::to_owned), scope.map(str::to_owned));
        Challenge::Bearer { realm: realm.to_owned(), service, scope }
    }

    #[test]
    fn challenges_are_read() {
        let check = |headers: &[&str], want| assert_eq!(Challenge::choose(headers.iter().copied()), want);
        check(&[], None);
        check(&["Negotiate"], None);
        check(&["Bearer service=x"], None);
        check(&["Basic realm=\"x\""], Some(Challenge::Basic));
        check(&["basic"], Some(Challenge::Basic));
        let hub =
            "Bearer realm=\"https://auth.example/token\",service=\"r\",scope=\"repository:a/b:pull,push\"";
        let want = Some(bearer("https://auth.example/token", Some("r"), Some("repository:a/b:pull,push")));
        check(&[hub], want.clone());
        check(&["Basic realm=x", hub], want);
        check(&["bearer Realm = \"a\\\"b\" , service=c"], Some(bearer("a\"b", Some("c"), None)));
        check(&["Bearer realm=\"open"], Some(bearer("open", None, None)));
    }

    proptest! {
        #[test]
        fn no_header_panics(text in "(Bearer )?([a-z]{0,5}=?\"?\\\\?,? ?|\\PC){0,12}") {
            drop(Challenge::choose([text.as_str()].into_iter()));
        }
    }
}
