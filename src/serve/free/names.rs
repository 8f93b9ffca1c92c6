//! Which addresses have a name (PTR): asked of the subnet's own name servers, else of this machine's resolver.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use dns_lookup::{LookupErrorKind, lookup_addr};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::Asked;
use crate::config::snapshot::Subnet;
use crate::wire::dns::{self, PtrAnswer, ptr_answer, ptr_question};

/// How long a name server's answers are waited for after each of the two questions.
const WAIT: Duration = Duration::from_millis(700);

/// How long this machine's resolver may take for all addresses.
const RESOLVER: Duration = Duration::from_secs(4);

/// Name servers that are asked, one after another, until one answers.
const SERVERS: usize = 2;

/// Threads that ask this machine's resolver, which answers one at a time.
const THREADS: usize = 8;

/// Asks for the names of some addresses.
pub(super) async fn of(addresses: &[Ipv4Addr], subnet: &Subnet) -> Asked {
    if addresses.is_empty() {
        return Asked::default();
    }
    if subnet.dns.is_empty() {
        return by_resolver(addresses).await;
    }
    let mut last = Asked::default();
    for server in subnet.dns.iter().take(SERVERS) {
        let server = SocketAddrV4::new(*server, dns::PORT);
        match by_server(addresses, server).await {
            Ok(asked) => return asked,
            Err(why) => last = Asked::not(why),
        }
    }
    last
}

/// Asks one name server; the error says that nothing came of it.
pub(super) async fn by_server(
    addresses: &[Ipv4Addr],
    server: SocketAddrV4,
) -> Result<Asked, String> {
    let trouble = |error: std::io::Error| format!("name server {}: {error}", server.ip());
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .await
        .map_err(trouble)?;
    // From it only.
    socket.connect(server).await.map_err(trouble)?;
    let mut random = [0; 2];
    // A number that was guessed costs a suggestion, no more.
    let _ = getrandom::fill(&mut random);
    let begin = u16::from_ne_bytes(random);
    let ids: Vec<(u16, Ipv4Addr)> = addresses
        .iter()
        .enumerate()
        .map(|(place, ip)| {
            let place = u16::try_from(place).unwrap_or_default();
            (begin.wrapping_add(place), *ip)
        })
        .collect();
    let mut asked = Asked::default();
    let mut answered: BTreeSet<Ipv4Addr> = BTreeSet::new();
    let mut failed: Option<u8> = None;
    let mut buffer = [0; 4_096];
    for _ in 0..2 {
        for (id, ip) in ids.iter().filter(|(_, ip)| !answered.contains(ip)) {
            socket
                .send(&ptr_question(*id, *ip))
                .await
                .map_err(trouble)?;
        }
        let answers = async {
            while answered.len() < ids.len() {
                let length = socket.recv(&mut buffer).await?;
                let message = buffer.get(..length).unwrap_or_default();
                let told = ids
                    .iter()
                    .find_map(|(id, ip)| Some((*ip, ptr_answer(message, *id, *ip)?)));
                let Some((ip, answer)) = told else {
                    continue;
                };
                answered.insert(ip);
                match answer {
                    PtrAnswer::Name(name) => {
                        asked.taken.insert(ip, name);
                    }
                    PtrAnswer::Nothing => {}
                    PtrAnswer::Failed(code) => failed = Some(code),
                }
            }
            Ok::<_, std::io::Error>(())
        };
        if let Ok(ended) = tokio::time::timeout(WAIT, answers).await {
            ended.map_err(trouble)?;
        }
    }
    if answered.is_empty() {
        return Err(format!("name server {} does not answer", server.ip()));
    }
    if let Some(code) = failed {
        asked.trouble = Some(format!(
            "name server {} cannot tell (code {code})",
            server.ip()
        ));
    } else if answered.len() < ids.len() {
        let silent = ids.iter().find(|(_, ip)| !answered.contains(ip));
        asked.trouble =
            silent.map(|(_, ip)| format!("name server {} gave no answer about {ip}", server.ip()));
    }
    Ok(asked)
}

/// Asks this machine's resolver: its hosts file and its name servers, as it is set up. It waits where it is called,
/// and for as long as it likes: on threads that nobody waits for in the end.
async fn by_resolver(addresses: &[Ipv4Addr]) -> Asked {
    let (tell, mut told) = mpsc::channel(addresses.len().max(1));
    let share = addresses.len().div_ceil(THREADS).max(1);
    for part in addresses.chunks(share) {
        let (part, tell) = (part.to_vec(), tell.clone());
        let ask = move || {
            for ip in part {
                let found = match lookup_addr(&IpAddr::V4(ip)) {
                    Ok(name) => Ok(Some(name)),
                    Err(error) => match error.kind() {
                        LookupErrorKind::NoName | LookupErrorKind::NoData => Ok(None),
                        LookupErrorKind::Again => {
                            Err("it has no name server that answers".to_owned())
                        }
                        _ => Err(std::io::Error::from(error).to_string()),
                    },
                };
                if tell.blocking_send((ip, found)).is_err() {
                    return;
                }
            }
        };
        if let Err(error) = std::thread::Builder::new()
            .name("names".to_owned())
            .spawn(ask)
        {
            return Asked::not(error.to_string());
        }
    }
    drop(tell);
    let mut asked = Asked::default();
    let mut answered = 0;
    let answers = async {
        while let Some((ip, found)) = told.recv().await {
            answered += 1;
            match found {
                Ok(Some(name)) => {
                    asked.taken.insert(ip, name);
                }
                Ok(None) => {}
                Err(why) => asked.trouble = Some(format!("this machine's resolver: {why}")),
            }
        }
    };
    if tokio::time::timeout(RESOLVER, answers).await.is_err() && answered < addresses.len() {
        asked.trouble = Some(format!(
            "this machine's resolver gave no answer within {} s",
            RESOLVER.as_secs()
        ));
    }
    asked
}
