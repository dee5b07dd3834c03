//! `--name value` pairs of the command line.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::str::FromStr;

use crate::Fault;

pub struct Arguments(HashMap<String, String>);

impl Arguments {
    pub fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Fault> {
        let mut pairs = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("`{word}` is no --name"))?;
            let value = words.next().ok_or_else(|| format!("--{name} has no value"))?;
            pairs.insert(name.to_owned(), value);
        }
        Ok(Self(pairs))
    }

    pub fn text(&self, name: &str) -> Result<&str, Fault> {
        Ok(self.0.get(name).ok_or_else(|| format!("--{name} is missing"))?)
    }

    pub fn value<T: FromStr>(&self, name: &str) -> Result<T, Fault> {
        let text = self.text(name)?;
        text.parse().map_err(|_| format!("--{name} {text}: not understood").into())
    }

    pub fn addresses(&self, name: &str) -> Result<Vec<SocketAddr>, Fault> {
        let read = |one: &str| one.parse().map_err(|_| format!("`{one}` is no address").into());
        self.text(name)?.split(',').map(read).collect()
    }

    /// The bytes of the file that `--request` names: one request, ready for the wire.
    pub fn request(&self) -> Result<Vec<u8>, Fault> {
        let path = self.text("request")?;
        Ok(std::fs::read(path).map_err(|error| format!("{path}: {error}"))?)
    }
}
