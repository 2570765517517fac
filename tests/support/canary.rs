//! Looks for secrets where none may be: in whole or in part, and in every disguise that a program gives bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::message::find;

/// The first disguise in which one of `secrets` stands in `bytes`, described.
pub(crate) fn leak(bytes: &[u8], secrets: &[String]) -> Option<String> {
    secrets.iter().flat_map(|secret| disguises(secret.as_bytes())).find_map(|(disguise, needle)| {
        let at = find_fast(bytes, &needle)?;
        let from = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        let line = &bytes[from..at];
        Some(format!(
            "{disguise} after {:?}",
            String::from_utf8_lossy(&line[line.len().saturating_sub(300)..])
        ))
    })
}

fn disguises(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let part = secret.len().min(20);
    let mut needles = vec![
        ("the beginning", secret[..part].to_vec()),
        ("the end", secret[secret.len() - part..].to_vec()),
        ("percent-encoding", secret.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect()),
        ("hexadecimal", secret.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()),
        ("a list of numbers", listed(secret)),
    ];
    // Base64 depends on what stands before, modulo three; the characters that share bits with neighbours go.
    // ASCII text has the same code in both alphabets of base64.
    for before in 0..3 {
        let mut bytes = vec![b'x'; before];
        bytes.extend(secret);
        bytes.truncate(bytes.len() / 3 * 3);
        let encoded = STANDARD_NO_PAD.encode(&bytes);
        needles.push(("base64", encoded.into_bytes().split_off(if before == 0 { 0 } else { 4 })));
    }
    needles
}

fn listed(secret: &[u8]) -> Vec<u8> {
    secret.iter().map(u8::to_string).collect::<Vec<_>>().join(", ").into_bytes()
}

/// Like [`find`], for megabytes: looks closer only where the first byte is right.
fn find_fast(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    match (std::str::from_utf8(bytes), std::str::from_utf8(needle)) {
        (Ok(text), Ok(needle)) => text.find(needle),
        _ => find(bytes, needle),
    }
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
