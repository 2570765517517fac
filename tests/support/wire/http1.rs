//! A client that writes HTTP/1 by hand.

use std::net::Ipv4Addr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::super::message::{Broken, Head, Lines, Reader, value};
use super::super::within;
use super::{Endpoint, Response};

/// One TLS connection with HTTP/1.1 agreed.
pub(crate) struct Http1 {
    pub(crate) reader: Reader<TlsStream<TcpStream>>,
}

impl Http1 {
    pub(crate) async fn connect(endpoint: &Endpoint) -> Self {
        Self { reader: Reader::new(endpoint.connect("http/1.1").await) }
    }

    /// From an address of the loopback network.
    pub(crate) async fn connect_from(endpoint: &Endpoint, source: Ipv4Addr) -> Self {
        Self { reader: Reader::new(endpoint.connect_from(source, "http/1.1").await) }
    }

    /// Sends exactly these bytes. That the gate has closed meanwhile is no error: reading will show it.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.reader.stream.write_all(bytes.as_ref()).await;
        let _ = self.reader.stream.flush().await;
    }

    /// Sends one request and reads its response.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        target: &str,
        lines: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: gate.example\r\n");
        for (name, value) in lines {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes).await;
        let response = if method == "HEAD" { self.head_response().await } else { self.response().await };
        response.unwrap_or_else(|broken| panic!("no response to {method} {target}: {broken:?}"))
    }

    /// The next final response to a request that is not HEAD; interim ones are skipped.
    pub(crate) async fn response(&mut self) -> Result<Response, Broken> {
        within("a response", async {
            loop {
                let response = self.any_response(true).await?;
                if response.status >= 200 || response.status == 101 {
                    return Ok(response);
                }
            }
        })
        .await
    }

    /// The next response's head, which has no body whatever it says (HEAD).
    pub(crate) async fn head_response(&mut self) -> Result<Response, Broken> {
        within("a response", self.any_response(false)).await
    }

    /// The next response, interim or not.
    pub(crate) async fn any_response(&mut self, may_have_body: bool) -> Result<Response, Broken> {
        let head = self.reader.head().await?.ok_or(Broken::Closed)?;
        let status = status(&head)?;
        let mut response =
            Response { status, lines: head.lines, body: vec![], trailers: vec![], broken: None };
        if may_have_body && !matches!(status, 100..=199 | 204 | 304) {
            self.body(&mut response).await;
        }
        Ok(response)
    }

    /// Asserts that the gate closes, and that nothing comes before it does.
    pub(crate) async fn expect_close(&mut self) {
        let (bytes, _) = within("the gate to close", self.reader.rest()).await;
        assert_eq!(super::super::message::text(&bytes), "", "nothing should follow");
    }

    async fn body(&mut self, response: &mut Response) {
        let coding = value(&response.lines, "transfer-encoding").map(str::to_owned);
        let length = value(&response.lines, "content-length").map(str::to_owned);
        let outcome = match (coding.as_deref(), length) {
            (Some("chunked"), None) => self.reader.chunked().await,
            (None, Some(length)) => {
                let length = length.parse().unwrap_or_else(|_| panic!("content-length {length:?}"));
                self.reader.exactly(length).await.map(|body| (body, Lines::new()))
            }
            (None, None) => match self.reader.rest().await {
                (body, Broken::Closed) => Ok((body, Lines::new())),
                broken => Err(broken),
            },
            both => panic!("the gate's answer has ambiguous framing: {both:?}"),
        };
        match outcome {
            Ok((body, trailers)) => (response.body, response.trailers) = (body, trailers),
            Err((body, broken)) => (response.body, response.broken) = (body, Some(broken)),
        }
    }
}

fn status(head: &Head) -> Result<u16, Broken> {
    let malformed = || Broken::Malformed(head.first_line.clone());
    // A client of HTTP/1.0 is answered as such by some servers; the number is what counts.
    let rest = head.first_line.strip_prefix("HTTP/1.1 ").or(head.first_line.strip_prefix("HTTP/1.0 "));
    let digits = rest.ok_or_else(malformed)?.get(..3).ok_or_else(malformed)?;
    digits.parse().map_err(|_| malformed())
}
