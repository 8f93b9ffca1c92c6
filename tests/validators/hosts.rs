//! The range of hosts that every profile is rendered for: one card and several, bonds, VLANs, plain disks,
//! logical volumes and RAID1, values that break whatever is not quoted, every snippet.
//!
//! Which firmware a machine has is not known when its texts are rendered: each answer has to serve BIOS and
//! UEFI alike.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::profiles::Profile;

/// What reservations.toml holds after the defaults.
const HOSTS: &str = r#"
[hosts.plain]
mac = "52:54:00:00:00:01"
ip  = "10.99.0.11"

[hosts.lvm]
mac = "52:54:00:00:00:02"
ip  = "10.99.0.12"
[hosts.lvm.vars]
layout       = "lvm"
disk         = "/dev/disk/by-id/ata-ACME_SSD_1"
root_size    = "20GiB"
swap_size    = "4GiB"
volume_group = "system"
packages     = ["htop", "vim"]

[hosts.raid]
mac = "52:54:00:00:00:03"
ip  = "10.99.0.13"
[hosts.raid.vars]
layout      = "raid1"
disks       = ["/dev/sda", "/dev/disk/by-id/ata-ACME_SSD_2"]
console     = "ttyS1,115200n8"
kernel_args = ["quiet", "mitigations=off"]
proxy       = "http://10.99.0.1:3128"
ntp_servers = ["ntp1.lab.example", "ntp2.lab.example"]

[hosts.raid-any]
mac = "52:54:00:00:00:04"
ip  = "10.99.0.14"
vars = { layout = "raid1", swap_size = "0MiB" }

[hosts.smallest]
mac = "52:54:00:00:00:05"
ip  = "10.99.0.15"
vars = { disk = "smallest" }

[hosts.largest]
mac = "52:54:00:00:00:06"
ip  = "10.99.0.16"
vars = { disk = "largest", layout = "lvm" }

[hosts.cards]
mac = "52:54:00:00:00:07"
ip  = "10.99.0.17"
[[hosts.cards.nic]]
mac  = "52:54:00:00:00:08"
ip   = "10.98.0.17"
name = "storage"
[[hosts.cards.nic]]
mac  = "52:54:00:00:00:09"
name = "spare"

[hosts.bond]
mac = ["52:54:00:00:00:0a", "52:54:00:00:00:0b"]
ip  = "10.99.0.18"
[[hosts.bond.nic]]
mac  = ["52:54:00:00:00:0a", "52:54:00:00:00:0b"]
ip   = "10.97.0.18"
name = "backup"
[hosts.bond.vars]
bond_mode = "802.3ad"
vlans     = { backup = 20 }

[hosts.ports]
mac  = ["52:54:00:00:00:0c", "52:54:00:00:00:0d"]
ip   = "10.99.0.19"
vars = { bond_mode = "none" }

# A subnet that tells nothing but its addresses.
[hosts.bare]
mac = "52:54:00:00:00:0e"
ip  = "10.95.0.20"

# Another server gives the address.
[hosts.guest]
mac    = "52:54:00:00:00:0f"
subnet = "guests"

[hosts.quotes]
mac = "52:54:00:00:00:10"
ip  = "10.99.0.21"
[hosts.quotes.vars]
root_password_secret = "nasty"
timezone = "America/Argentina/Buenos_Aires"
locale   = "de_CH.UTF-8"
keyboard = "ch"
ssh_authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFXkPVlx0PqcyhrYvNfR3P o'brien & \"sons\" <$HOME> `id` \\ ünï", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ two  spaces"]
[hosts.quotes.vars.users.zoe]
full_name           = "Zoë O'Brien & \"Sons\" <$HOME> `id` \\ 100%"
password_secret     = "nasty"
ssh_authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFXkPVlx0PqcyhrYvNfR3P o'brien@ünï & \"co\" <$HOME>"]
sudo                = "nopasswd"
groups              = ["adm"]
uid                 = 1500
shell               = "/bin/bash"
[hosts.quotes.vars.users.ops]
password_hash = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
sudo          = true

[hosts.snippets]
mac = "52:54:00:00:00:11"
ip  = "10.99.0.22"
snippets = [SNIPPETS]
[hosts.snippets.vars]
root_password_hash        = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
ssh_authorized_keys       = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFXkPVlx0PqcyhrYvNfR3P ops@lab"]
ansible_callback_url      = "https://awx.lab.example/api/v2/job_templates/7/callback/?a=1&b='2'"
ansible_callback_secret   = "nasty"
extra_packages            = ["strace"]
ipa_domain                = "lab.example"
ipa_otp_secret            = "nasty"
katello_org               = "Zoë's & Co"
katello_activation_secret = "nasty"
puppet_server             = "puppet.lab.example"
puppet_challenge_secret   = "nasty"
rsyslog_server            = "logs.lab.example"
salt_master               = "salt.lab.example"
salt_autosign_secret      = "nasty"
salt_grains               = { role = "Zoë's \"web\" & $HOME" }
snmp_community_secret     = "nasty"
snmp_location             = "Rack 7, Zoë's \"cage\" & $HOME"
[hosts.snippets.vars.users.ops]
sudo = true
[hosts.snippets.vars.extra_disks.data]
device = "/dev/disk/by-id/scsi-O'Brien & $HOME"
mount  = "/srv/my data"
"#;

/// A password that breaks whatever does not quote it, and what a Talos cluster has.
pub(crate) const SECRETS: &str = r#"
nasty = '''pa$$ 'word' & "more" <ü> `id` \n %s'''
talos-machine-token   = "abcdef.0123456789abcdef"
talos-machine-ca-crt  = "LS0tLS1CRUdJTg=="
talos-machine-ca-key  = "LS0tLS1CRUdJTg=="
talos-cluster-id      = "MDEyMzQ1Njc4OQ=="
talos-cluster-secret  = "MDEyMzQ1Njc4OQ=="
talos-cluster-token   = "abcdef.0123456789abcdef"
talos-cluster-ca-crt  = "LS0tLS1CRUdJTg=="
talos-cluster-ca-key  = "LS0tLS1CRUdJTg=="
talos-etcd-ca-crt = "MDEyMzQ1Njc4OQ=="
talos-secretbox = "MDEyMzQ1Njc4OQ=="
talos-aggregator-ca-crt = "LS0tLS1CRUdJTg=="
talos-aggregator-ca-key = "LS0tLS1CRUdJTg=="
talos-service-account-key = "LS0tLS1CRUdJTg=="
talos-etcd-ca-key = "LS0tLS1CRUdJTg=="
"#;

pub(crate) const SERVER: &str = r#"
[server]
interfaces = ["br0"]
profiles   = "PROFILES"
templates  = "TEMPLATES"
secrets    = "secrets.toml"
[[subnet]]
name    = "lab"
network = "10.99.0.0/24"
server  = "10.99.0.2"
router  = "10.99.0.1"
domain  = "lab.example"
dns     = ["10.99.0.1", "10.99.0.3"]
ntp     = ["10.99.0.1"]
[[subnet]]
name    = "storage"
network = "10.98.0.0/24"
server  = "10.98.0.2"
[[subnet]]
name    = "backup"
network = "10.97.0.0/24"
server  = "10.97.0.2"
router  = "10.97.0.1"
[[subnet]]
name    = "guests"
network = "10.96.0.0/24"
server  = "10.96.0.2"
mode    = "proxy"
[[subnet]]
name    = "bare"
network = "10.95.0.0/24"
server  = "10.95.0.2"
"#;

/// Writes a configuration in which every host of the range has this profile, and gives its main file.
pub(crate) fn write(profile: &Profile, family: &str, folder: &Path) -> PathBuf {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let templates = config.join("templates");
    let snippets = snippets(&templates.join("snippets"), family);
    let quoted: Vec<String> = snippets.iter().map(|name| format!("{name:?}")).collect();
    let place = |name: &str| config.join(name).display().to_string();
    let server = SERVER
        .replace("PROFILES", &place("profiles"))
        .replace("TEMPLATES", &place("templates"));
    fs::create_dir_all(folder).unwrap();
    let main = folder.join("bootwright.toml");
    fs::write(&main, server).unwrap();
    let secrets = folder.join("secrets.toml");
    fs::write(&secrets, SECRETS).unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(
        folder.join("reservations.toml"),
        format!(
            "[defaults]\nprofile = {:?}\n[defaults.vars]\n{}\n{}",
            profile.name,
            profile.vars,
            range(profile.without).replace("SNIPPETS", &quoted.join(", "))
        ),
    )
    .unwrap();
    main
}

/// The hosts, without these. Each is a paragraph of [`HOSTS`].
fn range(without: &[&str]) -> String {
    let hosts = HOSTS.split("\n\n").filter(|host| {
        without
            .iter()
            .all(|name| !host.contains(&format!("[hosts.{name}]\n")))
    });
    hosts.collect::<Vec<_>>().join("\n\n")
}

/// The snippets that work with a family.
fn snippets(folder: &Path, family: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let table: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let families = table.get("families").and_then(toml::Value::as_array);
        if families.is_none_or(|list| list.iter().any(|name| name.as_str() == Some(family))) {
            names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
        }
    }
    names.sort();
    names
}
