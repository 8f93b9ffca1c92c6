//! The nearest known word, for "did you mean".

/// The known word nearest to `word`, when it is near enough to be meant.
///
/// Damerau-Levenshtein distance of at most a third of the longer word (and at least 1), upper and
/// lower case alike; `_` and `-` count as the same.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    known
        .into_iter()
        .map(|candidate| {
            let other = plain(candidate);
            let bound = (word.chars().count().max(other.chars().count()) / 3).max(1);
            (strsim::damerau_levenshtein(&word, &other), bound, candidate)
        })
        .filter(|(distance, bound, _)| distance <= bound)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant() {
        let known = ["group", "profile", "local_boot", "ip", "mac"];
        assert_eq!(nearest("gruop", known), Some("group"));
        assert_eq!(nearest("local-boot", known), Some("local_boot"));
        assert_eq!(nearest("Profile", known), Some("profile"));
        assert_eq!(nearest("colour", known), None);
    }
}
