//! The settings that say where webhooks may lead.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::{error::SettingsError, layers::Layers};
use crate::guard::GuardSettings;

const DNS_PORT: u16 = 53;

/// Reads what may be called beside the public internet, and who is asked for addresses.
pub(super) fn read(layers: &Layers) -> Result<GuardSettings, SettingsError> {
    let networks = layers.find("allowed_networks", "networks such as 10.0.0.0/8 fd00::/8", parse_networks)?;
    let accepted = "an IP address, or one with a port such as 10.0.0.2:53";
    let nameserver = layers.find("nameserver", accepted, parse_nameserver)?;
    Ok(GuardSettings { allowed_networks: networks.unwrap_or_default(), nameserver })
}

fn parse_networks(text: &str) -> Option<Vec<IpNet>> {
    let words = text.split([' ', ',']).filter(|word| !word.is_empty());
    words.map(|word| word.parse().ok()).collect()
}

fn parse_nameserver(text: &str) -> Option<SocketAddr> {
    let with_port = || text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, DNS_PORT));
    text.parse().ok().or_else(with_port)
}
