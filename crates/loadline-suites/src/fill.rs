//! Templates: sentences with named places.

/// Puts values in the places of a template: `{name}` becomes the value of `name`. A place without a value stays as
/// it is, which the suites' tests look for.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        text.push_str(before);
        let Some(close) = from.find('}') else {
            rest = from;
            break;
        };
        let place = &from[1..close];
        match values.iter().find(|(name, _)| *name == place) {
            Some((_, value)) => text.push_str(value),
            None => text.push_str(&from[..=close]),
        }
        rest = &from[close + 1..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_places_and_leaves_unknown_ones() {
        assert_eq!(fill("{a} and {b}, {a}", &[("a", "x"), ("b", "{a}")]), "x and {a}, x");
        assert_eq!(fill("{c} {ש", &[]), "{c} {ש");
        assert_eq!(fill("כמה {a}", &[("a", "ספרים")]), "כמה ספרים");
    }
}
