//! Looks for secrets where none may be: in whole or in part, and in every disguise that a program gives bytes.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Everything that was seen in places of one kind, described and in bytes.
#[derive(Default)]
pub(crate) struct Place(BTreeSet<(String, Vec<u8>)>);

impl Place {
    pub(crate) fn saw(&mut self, what: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert((what.into(), bytes.into()));
    }

    /// Every file in `directory` and below, the bytes that are not written back yet too.
    pub(crate) fn saw_files(&mut self, directory: &Path) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.saw_files(&path);
            } else {
                self.saw(path.display().to_string(), std::fs::read(path).unwrap());
            }
        }
    }

    /// What the process list shows of every process.
    pub(crate) fn saw_processes(&mut self) {
        for entry in std::fs::read_dir("/proc").unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.bytes().all(|byte| byte.is_ascii_digit()) {
                self.saw_process(&name);
            }
        }
    }

    /// What it shows of one.
    pub(crate) fn saw_process(&mut self, id: &str) {
        for file in ["cmdline", "environ"] {
            // It may have ended, or be somebody else's.
            let bytes = std::fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
            if !bytes.is_empty() {
                self.saw(file, bytes);
            }
        }
    }

    /// Every description under which one of `secrets` was seen.
    pub(crate) fn leaks(&self, secrets: &[String]) -> Vec<String> {
        let leaks = self.0.iter().filter_map(|(what, bytes)| Some((what, leak(bytes, secrets)?)));
        leaks.map(|(what, leak)| format!("{what} has {leak}")).collect()
    }

    /// The same without what is described by a text with this end.
    pub(crate) fn without(&self, end: &str) -> Self {
        Self(self.0.iter().filter(|(what, _)| !what.ends_with(end)).cloned().collect())
    }
}

/// The first disguise in which one of `secrets` stands in `bytes`, described.
pub(crate) fn leak(bytes: &[u8], secrets: &[String]) -> Option<String> {
    // Text, because its search is fast; what is no text can't hide a secret that is.
    let text = String::from_utf8_lossy(bytes);
    secrets.iter().flat_map(|secret| disguises(secret)).find_map(|(disguise, needle)| {
        let before = &text[..text.find(&needle)?];
        let line = before.rsplit('\n').next().unwrap_or_default();
        let context: String = line.chars().rev().take(300).collect();
        Some(format!("{disguise} after {:?}", context.chars().rev().collect::<String>()))
    })
}

fn disguises(secret: &str) -> Vec<(&'static str, String)> {
    let bytes = secret.as_bytes();
    let each = |format: fn(&u8) -> String| bytes.iter().map(format).collect::<Vec<_>>();
    let mut needles = vec![
        ("the beginning", secret.chars().take(20).collect()),
        ("the end", secret.chars().skip(secret.chars().count().saturating_sub(20)).collect()),
        ("percent-encoding", each(|byte| format!("%{byte:02X}")).concat()),
        ("hexadecimal", each(|byte| format!("{byte:02x}")).concat()),
        ("a list of numbers", each(u8::to_string).join(", ")),
    ];
    // Base64 depends on what stands before, modulo three; the characters that share bits with neighbours go.
    // ASCII text has the same code in both alphabets of base64.
    for before in 0..3 {
        let mut padded = vec![b'x'; before];
        padded.extend(bytes);
        padded.truncate(padded.len() / 3 * 3);
        let encoded = STANDARD_NO_PAD.encode(&padded);
        needles.push(("base64", encoded[if before == 0 { 0 } else { 4 }..].to_owned()));
    }
    needles
}

#[test]
fn a_secret_is_found_in_every_disguise() {
    let secret = "bcdfghjklmnpqrstvwxz2456789bcdfghjklmnpqrstvwxz2456789";
    let secrets = [secret.to_owned()];
    for before in ["", "t", "to", "token-bcdfg:"] {
        let text = STANDARD_NO_PAD.encode(format!("{before}{secret}"));
        assert!(leak(text.as_bytes(), &secrets).is_some(), "{before:?}");
    }
    for text in [format!("x{secret}y"), secret[..20].to_owned(), format!("{:?}", secret.as_bytes())] {
        assert!(leak(text.as_bytes(), &secrets).is_some(), "{text}");
    }
    assert_eq!(leak(&secret.as_bytes()[1..20], &secrets), None);
    assert_eq!(leak(b"\xff nothing", &secrets), None);
}
