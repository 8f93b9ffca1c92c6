//! Words of what people are told.

/// So many of something, in words: `1 error`, `2 errors`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_is_no_hosts() {
        let told = [0, 1, 2].map(|count| counted(count, "host"));
        assert_eq!(told, ["0 hosts", "1 host", "2 hosts"]);
    }
}
