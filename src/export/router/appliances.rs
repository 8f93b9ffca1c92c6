//! Lines for routers and servers that are set up by commands or forms: EdgeOS, RouterOS, OPNsense, Windows Server.

use std::fmt::Write as _;

use super::servers::{DHCPD_ARCH, dhcpd_statements};
use super::{Lines, Loader};
use crate::base::Firmware;

pub(super) fn edgeos(lines: &Lines<'_>) -> String {
    let mut text = lines.head(
        "#",
        &[
            "For EdgeOS, and VyOS up to 1.3: paste it after logging in. In the place of LAN comes the name that the network",
            "has there (`show service dhcp-server`). The quotation marks of dhcpd's language are written as &quot;",
            "because the command line has none within its own.",
            "VyOS from 1.4 on has Kea and takes no such lines: give it mode = \"proxy\" beside it instead.",
            "Where dnsmasq gives the addresses (set service dhcp-server use-dnsmasq enable), take `router-config dnsmasq`:",
            "each line as `set service dns forwarding options '…'`.",
            "Secure Boot cannot be seen in DHCP: the loaders below are the same for machines with it and without.",
        ],
    );
    let quoted = |line: &str| line.trim().replace('"', "&quot;");
    text.push_str("\nconfigure\n");
    let _ = writeln!(
        text,
        "set service dhcp-server global-parameters '{}'",
        quoted(DHCPD_ARCH)
    );
    // One statement is one parameter: the router keeps the order of parameters, but not that of lines within a block.
    let statements: Vec<String> = dhcpd_statements(lines)
        .iter()
        .map(|line| quoted(line))
        .collect();
    let statement = statements.join(" ");
    for network in lines.networks() {
        let _ = writeln!(
            text,
            "set service dhcp-server shared-network-name LAN subnet {network} subnet-parameters '{statement}'"
        );
    }
    text.push_str("commit\nsave\nexit\n");
    text
}

pub(super) fn mikrotik(lines: &Lines<'_>) -> String {
    let mut text = lines.head(
        "#",
        &[
            "For RouterOS 7 (matchers came with 7.4): paste it into a terminal. In the places of DHCP and POOL come the names",
            "of the DHCP server and its pool (`/ip dhcp-server print`).",
            "Matchers are tried from the top; iPXE sends the vendor class of its firmware too, so its matcher stands first.",
            "A matcher looks at one option: firmware is told by its vendor class, in which its number stands (Arch:00007).",
            "Secure Boot cannot be seen in DHCP: the loaders below are the same for machines with it and without.",
        ],
    );
    let _ = writeln!(
        text,
        "\n/ip dhcp-server option\nadd name=bootwright-server code=66 value=\"s'{}'\"\nadd name=bootwright-ipxe code=67 value=\"s'{}'\"",
        lines.server, lines.script
    );
    let http = |loader: &Loader| loader.word("bootwright-http");
    let pxe = |loader: &Loader| loader.word("bootwright");
    for loader in &lines.pxe {
        let _ = writeln!(
            text,
            "add name={} code=67 value=\"s'{}'\"",
            pxe(loader),
            loader.file
        );
    }
    for loader in &lines.http {
        let _ = writeln!(
            text,
            "add name={} code=67 value=\"s'{}'\"",
            http(loader),
            loader.file
        );
    }
    text.push_str("add name=bootwright-http-class code=60 value=\"s'HTTPClient'\"\n");
    text.push_str(
        "/ip dhcp-server option sets\nadd name=bootwright-ipxe options=bootwright-ipxe\n",
    );
    for loader in &lines.pxe {
        let _ = writeln!(
            text,
            "add name={0} options=bootwright-server,{0}",
            pxe(loader)
        );
    }
    for loader in &lines.http {
        let _ = writeln!(
            text,
            "add name={0} options=bootwright-http-class,{0}",
            http(loader)
        );
    }
    text.push_str("/ip dhcp-server matcher\n");
    let mut matcher = |name: &str, set: &str, code: u8, value: &str| {
        let _ = writeln!(
            text,
            "add name={name} server=DHCP address-pool=POOL code={code} matching-type=substring value=\"{value}\" option-set={set}"
        );
    };
    matcher("bootwright-ipxe", "bootwright-ipxe", 77, "iPXE");
    for (loaders, class, name) in [
        (
            &lines.http,
            "HTTPClient",
            &http as &dyn Fn(&Loader) -> String,
        ),
        (&lines.pxe, "PXEClient", &pxe),
    ] {
        for loader in loaders {
            for code in loader.codes {
                let set = name(loader);
                matcher(
                    &format!("{set}-{code}"),
                    &set,
                    60,
                    &format!("{class}:Arch:{code:05}"),
                );
            }
        }
    }
    text.push_str("# ROMs that look for the server in the header only find it by next-server; the boot file there is for a BIOS.\n");
    text.push_str("/ip dhcp-server network\n");
    for network in lines.networks() {
        let file = lines.bios().map_or_else(String::new, |loader| {
            format!(" boot-file-name=\"{}\"", loader.file)
        });
        let _ = writeln!(
            text,
            "set [find address={network}] next-server={}{file}",
            lines.server
        );
    }
    text
}

pub(super) fn opnsense(lines: &Lines<'_>) -> String {
    let mut text = lines.head(
        "#",
        &[
            "OPNsense has three DHCP servers; which one runs on an interface is seen under Services.",
            "Secure Boot cannot be seen in DHCP: the loaders below are the same for machines with it and without.",
        ],
    );
    let of = |firmware: Firmware| {
        lines
            .pxe
            .iter()
            .find(|loader| loader.firmware == firmware)
            .map_or("(leave it empty: there is no loader for it)", |loader| {
                loader.file.as_str()
            })
    };
    text.push_str("\n# 1. Dnsmasq DNS & DHCP: tells all of them apart. Put these lines into the file\n#    /usr/local/etc/dnsmasq.conf.d/bootwright.conf on the firewall, and restart Dnsmasq there.\n\n");
    let config = super::servers::dnsmasq(lines);
    text.extend(
        config
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .map(|line| format!("{line}\n")),
    );
    let _ = write!(
        text,
        "\n# 2. ISC DHCPv4: Services > ISC DHCPv4 > [the interface] > Network booting. UEFI HTTP Boot is not told apart there:\n\
         #    such machines have to boot by PXE.\n#\n\
         #    Enable network booting               yes\n\
         #    Set next-server IP                   {}\n\
         #    Set default bios filename            {}\n\
         #    Set x86 UEFI (32-bit) filename       {}\n\
         #    Set x64 UEFI/EBC (64-bit) filename   {}\n\
         #    Set ARM UEFI (32-bit) filename       {}\n\
         #    Set ARM UEFI (64-bit) filename       {}\n\
         #    Set iPXE boot filename               {}\n",
        lines.server,
        of(Firmware::Bios),
        of(Firmware::UefiIa32),
        of(Firmware::UefiX64),
        of(Firmware::UefiArm32),
        of(Firmware::UefiArm64),
        lines.script
    );
    let _ = write!(
        text,
        "\n# 3. Kea DHCPv4: its form has one boot file for all machines of a subnet, whatever their architecture, and iPXE\n\
         #    would be given it again and again. Give it none, and let this server tell machines what to boot:\n\
         #    mode = \"proxy\" in the [[subnet]]. Where the firewall's own configuration of Kea is edited by hand, take\n\
         #    `bootwright router-config kea`. For one architecture alone (Services > Kea DHCP > Kea DHCPv4 > Subnets):\n#\n\
         #    Next server                          {}\n\
         #    TFTP server                          {}\n\
         #    TFTP bootfile name                   {}\n",
        lines.server,
        lines.server,
        of(Firmware::UefiX64)
    );
    text
}

pub(super) fn msdhcp(lines: &Lines<'_>) -> String {
    let mut text = lines.head(
        "#",
        &[
            "PowerShell on the Windows Server that runs DHCP, as an administrator. Policies are those of each scope, tried in",
            "their order: the one for iPXE first, because iPXE sends the vendor class of its firmware too.",
            "Clear options 60, 66 and 67 of the scope and of the server first: option 60 there has UEFI ask this server's port 4011.",
            "Secure Boot cannot be seen in DHCP: the loaders below are the same for machines with it and without.",
        ],
    );
    text.push_str("\nAdd-DhcpServerv4Class -Name \"iPXE\" -Type User -Data \"iPXE\"\n");
    let title = |loader: &Loader, kind: &str, code: u16| {
        format!("Bootwright {kind} {} {code:05}", loader.firmware)
    };
    for (loaders, class) in [(&lines.pxe, "PXEClient"), (&lines.http, "HTTPClient")] {
        for loader in loaders {
            for code in loader.codes {
                let _ = writeln!(
                    text,
                    "Add-DhcpServerv4Class -Name \"{}\" -Type Vendor -Data \"{class}:Arch:{code:05}\"",
                    title(loader, class, *code)
                );
            }
        }
    }
    text.push_str("if (-not (Get-DhcpServerv4OptionDefinition -OptionId 60 -ErrorAction SilentlyContinue)) {\n    Add-DhcpServerv4OptionDefinition -Name \"Vendor class\" -OptionId 60 -Type String\n}\n");
    for network in lines.networks() {
        let scope = network.network();
        let mut order = 0;
        let mut policy = |name: &str, condition: &str, options: &[(u8, &str)]| {
            order += 1;
            let _ = writeln!(
                text,
                "\nAdd-DhcpServerv4Policy -Name \"{name}\" -ScopeId {scope} -ProcessingOrder {order} {condition}"
            );
            for (code, value) in options {
                let _ = writeln!(
                    text,
                    "Set-DhcpServerv4OptionValue -ScopeId {scope} -PolicyName \"{name}\" -OptionId {code} -Value \"{value}\""
                );
            }
        };
        let server = lines.server.to_string();
        policy(
            "Bootwright iPXE",
            "-Condition OR -UserClass EQ,\"iPXE*\"",
            &[(67, lines.script.as_str())],
        );
        for (loaders, class) in [(&lines.http, "HTTPClient"), (&lines.pxe, "PXEClient")] {
            for loader in loaders {
                for code in loader.codes {
                    let name = title(loader, class, *code);
                    // What follows the number in the vendor class (UNDI and its version) is left open by the asterisk.
                    let condition = format!(
                        "-Condition AND -VendorClass EQ,\"{name}*\" -UserClass NE,\"iPXE*\""
                    );
                    let file = (67, loader.file.as_str());
                    if class == "HTTPClient" {
                        policy(&name, &condition, &[(60, "HTTPClient"), file]);
                    } else {
                        policy(&name, &condition, &[(66, &server), file]);
                    }
                }
            }
        }
    }
    text
}
