use proptest::prelude::*;

use super::*;

fn inspect(bytes: &[u8]) -> Option<Violation> {
    Inspector::new(1 << 17).feed(bytes)
}

fn head(lines: &str) -> Vec<u8> {
    format!("POST /api HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

#[test]
fn messages_that_are_exactly_one_message_pass() {
    for lines in [
        "",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "content-length:\t12 \r\n",
        "X-Empty:\r\nX-Obs-Text: \u{fc}\r\n",
    ] {
        assert_eq!(inspect(&head(lines)), None, "{lines:?}");
    }
    assert_eq!(inspect(b"\r\nGET / HTTP/1.0\r\n\r\n"), None);
}

#[test]
fn heads_that_two_parsers_could_read_differently_are_marked() {
    let wrong = [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 03\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length : 3\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Host: b\r\n",
        " Folded: x\r\n",
        "X: a\r\n b\r\n",
        "X\r\n",
        ": x\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "X: a\0b\r\n",
        "X: a\nY: b\r\n",
    ];
    for lines in wrong {
        assert_eq!(inspect(&head(lines)).map(|violation| violation.message), Some(0), "{lines:?}");
    }
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\\x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.32\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert!(inspect(text.as_bytes()).is_some(), "{text:?}");
    }
}

#[test]
fn the_message_behind_a_body_is_the_one_that_is_marked() {
    let bad = head("Host: b\r\n");
    let mut bytes = head("Content-Length: 3\r\n");
    bytes.extend(b"abc");
    bytes.extend(head("Transfer-Encoding: chunked\r\n"));
    bytes.extend(b"3;x=y\r\nabc\r\n0\r\nTrailer: x\r\n\r\n");
    bytes.extend(&bad);
    assert_eq!(inspect(&bytes), Some(Violation { message: 2, reason: "not exactly one Host" }));
}

#[test]
fn chunks_that_two_parsers_could_read_differently_are_marked() {
    let sizes = [
        "3\nabc\r\n",
        "0x3\r\nabc\r\n",
        "+3\r\nabc\r\n",
        "3 \r\nabc\r\n",
        "\r\nabc\r\n",
        "3\r\nabcd\r\n",
        "3;\rX\r\nabc\r\n",
        "3\r\nabcXY",
        "fffffffffffffffff\r\n",
        "0\r\nTrailer: x\n\r\n",
    ];
    for chunk in sizes {
        let mut bytes = head("Transfer-Encoding: chunked\r\n");
        bytes.extend(chunk.as_bytes());
        bytes.extend(b"\r\n\r\n");
        assert_eq!(inspect(&bytes).map(|violation| violation.message), Some(1), "{chunk:?}");
    }
}

#[test]
fn a_head_without_end_is_marked_at_its_limit() {
    let mut inspector = Inspector::new(1024);
    assert_eq!(inspector.feed(b"GET / HTTP/1.1\r\nX: "), None);
    assert!(inspector.is_within_head());
    assert!(inspector.feed(&[b'a'; 1024]).is_some());
    assert!(!inspector.is_within_head());
}

proptest! {
    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_arrive(
        bytes in proptest::collection::vec(prop_oneof![
            Just("GET / HTTP/1.1\r\n"), Just("Host: a\r\n"), Just("\r\n"), Just("Content-Length: 3\r\n"), Just("abc"),
            Just("Transfer-Encoding: chunked\r\n"), Just("3\r\n"), Just("0\r\n\r\n"), Just("\n"), Just("X:"), Just(" "),
        ], 0..24),
        cut in 1_usize..7,
    ) {
        let bytes = bytes.concat();
        let mut inspector = Inspector::new(1 << 17);
        let piecewise = bytes.as_bytes().chunks(cut).find_map(|piece| inspector.feed(piece));
        prop_assert_eq!(inspect(bytes.as_bytes()), piecewise);
    }
}
