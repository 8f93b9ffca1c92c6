//! Which proxy a request goes through, as the environment says: `http_proxy`, `https_proxy`, `all_proxy`
//! and `no_proxy`, in small letters or capitals (but for `HTTP_PROXY`, which a web server sets for what it
//! runs).

use data_encoding::BASE64;
use hyper::Uri;
use percent_encoding::percent_decode_str;

/// The proxies that are set.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<String>,
}

/// One proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The value of `Proxy-Authorization`, where the address holds name and password.
    pub authorization: Option<String>,
}

/// Why a proxy's address cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the proxy in ${variable} cannot be used: it must be http://HOST:PORT")]
pub struct BadProxy {
    /// The variable.
    pub variable: &'static str,
}

impl Proxies {
    /// As the environment of this process says.
    pub fn of_environment() -> Result<Self, BadProxy> {
        Self::of(&|name| std::env::var(name).ok())
    }

    /// As these variables say.
    pub fn of(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadProxy> {
        let proxy = |names: &[&'static str]| {
            for name in names {
                if let Some(value) = variable(name).filter(|value| !value.trim().is_empty()) {
                    return Proxy::parse(value.trim(), name).map(Some);
                }
            }
            Ok(None)
        };
        let direct = variable("no_proxy")
            .or_else(|| variable("NO_PROXY"))
            .unwrap_or_default();
        Ok(Self {
            http: proxy(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
            https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            direct: direct
                .split([',', ' '])
                .map(|name| name.trim().trim_start_matches("*.").trim_start_matches('.'))
                .filter(|name| !name.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        })
    }

    /// The proxy for a request of this scheme to this host; `None`: straight there.
    pub fn of_request(&self, https: bool, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if https { &self.https } else { &self.http };
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let with_port = format!("{host}:{port}");
        let direct = self.direct.iter().any(|name| {
            *name == "*"
                || *name == host
                || *name == with_port
                || host
                    .strip_suffix(name.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
                || in_network(name, &host)
        });
        proxy.as_ref().filter(|_| !direct)
    }
}

/// Whether an address lies in a network such as `10.0.0.0/8`.
fn in_network(network: &str, host: &str) -> bool {
    let network = network.parse::<ipnet::IpNet>();
    let address = host.parse::<std::net::IpAddr>();
    matches!((network, address), (Ok(network), Ok(address)) if network.contains(&address))
}

impl Proxy {
    fn parse(text: &str, variable: &'static str) -> Result<Self, BadProxy> {
        let bad = || BadProxy { variable };
        let whole = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = whole.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("http") {
            return Err(bad());
        }
        let authority = uri.authority().ok_or_else(bad)?;
        let host = authority.host().trim_matches(['[', ']']);
        if host.is_empty() {
            return Err(bad());
        }
        let authorization = authority.as_str().rsplit_once('@').map(|(user, _)| {
            let user: Vec<u8> = percent_decode_str(user).collect();
            format!("Basic {}", BASE64.encode(&user))
        });
        Ok(Self {
            host: host.to_owned(),
            // As everybody else takes it.
            port: authority.port_u16().unwrap_or(1_080),
            authorization,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(set: &[(&str, &str)]) -> Result<Proxies, BadProxy> {
        Proxies::of(&|name| {
            set.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_tells_the_proxy() {
        let set = proxies(&[
            ("http_proxy", "http://us%40er:p@proxy.lab:3128/"),
            ("ALL_PROXY", "other.lab:80"),
            ("no_proxy", "localhost, .lab.example,10.0.0.0/8,mirror:8080"),
        ])
        .unwrap();
        let http = set.of_request(false, "deb.debian.org", 80).unwrap();
        assert_eq!((http.host.as_str(), http.port), ("proxy.lab", 3_128));
        // us@er:p
        assert_eq!(http.authorization.as_deref(), Some("Basic dXNAZXI6cA=="));
        let https = set.of_request(true, "deb.debian.org", 443).unwrap();
        assert_eq!((https.host.as_str(), https.port), ("other.lab", 80));
        for (host, port) in [
            ("localhost", 80),
            ("a.lab.example", 80),
            ("LAB.example", 80),
            ("10.1.2.3", 80),
            ("mirror", 8_080),
        ] {
            assert!(set.of_request(false, host, port).is_none(), "{host}");
        }
        for (host, port) in [("xlab.example", 80), ("11.1.2.3", 80), ("mirror", 80)] {
            assert!(set.of_request(false, host, port).is_some(), "{host}");
        }
        let all = proxies(&[("http_proxy", "p:1"), ("NO_PROXY", "*")]).unwrap();
        assert!(all.of_request(false, "x", 80).is_none());
        // A web server sets it from a request's header `Proxy`.
        let none = proxies(&[("HTTP_PROXY", "p:1")]).unwrap();
        assert!(none.of_request(false, "x", 80).is_none());
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
        for bad in [
            "socks5://u:secret@p:1",
            "https://p",
            "http://",
            "http://u:secret@",
        ] {
            let error = proxies(&[("https_proxy", bad)]).unwrap_err();
            assert_eq!(error.variable, "https_proxy", "{bad}");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
