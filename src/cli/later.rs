//! What the contract has and this version has not.

/// Refuses a command or an option by its name.
pub fn refuse(what: &str) -> anyhow::Result<u8> {
    anyhow::bail!("{what} is not available in this version")
}
