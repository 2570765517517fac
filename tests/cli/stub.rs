//! An API that answers what a test tells it, and remembers what it was asked.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::certificates::Identity;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

/// What is answered: the status, a header line or nothing, the body.
pub(crate) type Answer = (u16, &'static str, String);

/// The stub. Its thread ends with the test's process.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Stub {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        Self::start_as(Identity::for_loopback(), answer)
    }

    /// With a certificate of its own.
    pub(crate) fn start_as(identity: Identity, answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let config = Arc::new(identity.server);
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that refuses our certificate hangs up, which is its right.
                let _ = serve(stream.unwrap(), &config, &seen, &answer);
            }
        });
        Self { address, ca_pem: identity.ca_pem, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// The request lines so far, without the version.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.line).collect()
    }
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: &Value) -> Answer {
    (status, "content-type: application/json", body.to_string())
}

/// The API's error object.
pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    json(status, &serde_json::json!({"type": "error", "status": status, "code": code, "message": message}))
}

fn serve(
    stream: TcpStream,
    config: &Arc<ServerConfig>,
    seen: &Mutex<Vec<Request>>,
    answer: &impl Fn(&Request) -> Answer,
) -> std::io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let request = read(&mut reader)?;
    let (status, header, body) = answer(&request);
    seen.lock().unwrap().push(request);
    let tls = reader.get_mut();
    write!(tls, "HTTP/1.1 {status} x\r\nconnection: close\r\ncontent-length: {}\r\n", body.len())?;
    if !header.is_empty() {
        write!(tls, "{header}\r\n")?;
    }
    write!(tls, "\r\n{body}")?;
    tls.conn.send_close_notify();
    tls.flush()
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Request> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut request = Request {
        line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(),
        authorization: None,
        body: Value::Null,
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                request.authorization = Some(value.to_owned());
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    request.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(request)
}
