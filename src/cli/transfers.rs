//! `bootwright transfers`: the files that are being sent.

use std::io::Write;

use super::client::Client;
use super::output::Format;
use super::{runtime, table};
use crate::serve::transfers::{By, TransferView};

/// Lists the transfers under way.
pub fn list(client: &Client, format: Format, out: &mut dyn Write) -> anyhow::Result<u8> {
    let transfers: Vec<TransferView> = runtime()?.block_on(client.get("/transfers"))?;
    if format == Format::Json {
        writeln!(out, "{}", serde_json::to_string_pretty(&transfers)?)?;
        return Ok(0);
    }
    if transfers.is_empty() {
        writeln!(out, "no file is being sent")?;
        return Ok(0);
    }
    let rows: Vec<_> = transfers.iter().map(row).collect();
    let head = ["CLIENT", "HOST", "BY", "SENT", "RATE", "SINCE", "FILE"];
    table::write(out, head, &rows)?;
    Ok(0)
}

fn row(transfer: &TransferView) -> [String; 7] {
    let host = transfer.host.as_ref().map(ToString::to_string);
    let mac = transfer.mac.map(|mac| mac.to_string());
    let sent = match transfer.size {
        Some(size) if size > 0 => {
            let percent = u128::from(transfer.bytes) * 100 / u128::from(size);
            format!("{} of {} KiB ({percent}%)", kib(transfer.bytes), kib(size))
        }
        _ => format!("{} KiB", kib(transfer.bytes)),
    };
    [
        transfer.peer.ip().to_string(),
        host.or(mac).unwrap_or_else(|| "-".to_owned()),
        match transfer.by {
            By::Tftp => "TFTP",
            By::Http => "HTTP",
        }
        .to_owned(),
        sent,
        format!("{} KiB/s", transfer.rate / 1_024),
        table::time(transfer.since),
        transfer.file.clone(),
    ]
}

const fn kib(bytes: u64) -> u64 {
    bytes.div_ceil(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Timestamp;

    #[test]
    fn a_line_for_each() {
        let mut transfer = TransferView {
            by: By::Tftp,
            peer: ([10, 99, 0, 11], 2_070).into(),
            host: Some("web01".parse().unwrap()),
            mac: None,
            file: "ipxe/undionly.kpxe".to_owned(),
            bytes: 37_000,
            size: Some(74_000),
            since: Timestamp::from_secs(1),
            rate: 20_480,
        };
        let [client, host, by, sent, rate, _, file] = row(&transfer);
        assert_eq!((client.as_str(), host.as_str()), ("10.99.0.11", "web01"));
        assert_eq!(by, "TFTP");
        assert_eq!(sent, "37 of 73 KiB (50%)");
        assert_eq!(
            (rate.as_str(), file.as_str()),
            ("20 KiB/s", "ipxe/undionly.kpxe")
        );
        transfer.size = None;
        transfer.host = None;
        transfer.by = By::Http;
        assert_eq!(row(&transfer)[1..4], ["-", "HTTP", "37 KiB"]);
    }
}
