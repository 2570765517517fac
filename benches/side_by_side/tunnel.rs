//! A command in a pod, over a WebSocket: what each proxy takes for a MiB that passes through it, once a connection has
//! switched. One way at a time, in frames of 32 KiB, as fast as it goes; the client reads or writes, and the origin the
//! other way round, on the core that both share.
//!
//! It can't show what many small frames cost, as of somebody who types, nor SPDY.

use std::io;
use std::time::{Duration, Instant};

use http::Uri;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::client::{Client, Connection};
use crate::figures::{Measure, Table, micros};
use crate::load::Protocol;
use crate::own_origin;
use crate::peers::{Peer, Proxy};
use crate::process::{self, Place};
use crate::scenario::{Pace, Scenario};

/// Of RFC 6455, 1.3, and what it is answered.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// Channels as of Kubernetes 1.30.
pub(crate) const PROTOCOL: &str = "v5.channel.k8s.io";

const MIB: usize = 1 << 20;
/// Bytes of a frame beside its channel and header.
const PAYLOAD: usize = 32 << 10;

/// What a command does, from the side of the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Says so many MiB.
    Say(usize),
    /// Takes so many MiB, and says one frame then.
    Take(usize),
}

pub(crate) fn all() -> Vec<Scenario> {
    let scenario = |name: &str, errand: fn(usize) -> Errand| {
        Scenario::new(name.to_owned(), move |name, place, pace| run(name, place, pace, errand))
    };
    vec![scenario("exec, what it says", Errand::Say), scenario("exec, what it is told", Errand::Take)]
}

fn run(name: &str, place: &Place, pace: Pace, errand: fn(usize) -> Errand) -> Table {
    process::move_to_others();
    let origin = own_origin::start(place, Duration::ZERO);
    let proxies = Peer::start_all(place, &origin, Protocol::Http1, Protocol::Http1);
    let names: Vec<_> = proxies.iter().map(|proxy| proxy.peer.name()).collect();
    let measures = vec![Measure::compared("CPU a MiB, µs", 0), Measure::told("MiB/s", 0)];
    let mut table = Table::new(name, measures, &names);
    let amount = if pace.is_trial { 64 } else { 512 };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for proxy in &proxies {
        runtime.block_on(pass(place, proxy, errand(amount / 8))).unwrap();
    }
    for round in 1..=pace.rounds {
        for (proxy, row) in proxies.iter().zip(&mut table.rows) {
            let (cpu, begun) = (proxy.process.cpu(), Instant::now());
            let passed = runtime.block_on(pass(place, proxy, errand(amount)));
            passed.unwrap_or_else(|error| panic!("{}: {error}", row.name));
            let (elapsed, cpu) = (begun.elapsed(), proxy.process.cpu().saturating_sub(cpu));
            #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
            let amount = amount as f64;
            eprintln!("  round {round}, {}: {:.0} µs", row.name, micros(cpu) / amount);
            row.add(&[micros(cpu) / amount, amount / elapsed.as_secs_f64()]);
        }
    }
    table
}

/// The client's side: begins the command, and is done when all has passed.
async fn pass(place: &Place, proxy: &Proxy, errand: Errand) -> io::Result<()> {
    let client = Client::new(proxy.address, &place.ca_pem);
    let mut connection = client.connect().await?;
    let request = client.request("GET", &errand.path(), &proxy.authorization, "");
    let upgrade = format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: {PROTOCOL}\r\n\r\n"
    );
    let request = [&request[..request.len() - 2], upgrade.as_bytes()].concat();
    let answer = connection.begin(&request).await?;
    if answer.status != 101 {
        return Err(io::Error::other(format!("{answer:?}")));
    }
    let early = connection.body(&answer).to_vec();
    *connection.received() = early;
    match errand {
        Errand::Say(amount) => read_all(&mut connection, &frame(1, false), frames(amount)).await,
        Errand::Take(amount) => {
            let frame_of_client = frame(0, true);
            for _ in 0..frames(amount) {
                connection.send(&frame_of_client).await?;
            }
            read_all(&mut connection, &frame(1, false), 1).await
        }
    }
}

/// Reads so many of such frames: everything is counted, and the bytes of the first are compared.
async fn read_all(connection: &mut Connection, frame: &[u8], count: usize) -> io::Result<()> {
    let (mut left, mut is_compared) = (frame.len() * count, false);
    loop {
        let received = connection.received();
        if !is_compared && received.len() >= frame.len() {
            assert!(received.starts_with(frame), "not the frame that was sent");
            is_compared = true;
        }
        if is_compared {
            left -= received.len();
            received.clear();
        }
        if left == 0 {
            return Ok(());
        }
        connection.read().await?;
    }
}

/// The origin's side.
pub(crate) async fn run_errand(
    errand: Errand,
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut says = 1;
    match errand {
        Errand::Say(amount) => says = frames(amount),
        Errand::Take(amount) => {
            let mut buffer = vec![0; 64 << 10];
            let mut left = frame(0, true).len() * frames(amount);
            while left > 0 {
                let most = left.min(buffer.len());
                match stream.read(&mut buffer[..most]).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    some => left -= some,
                }
            }
        }
    }
    let frame = frame(1, false);
    for _ in 0..says {
        stream.write_all(&frame).await?;
    }
    stream.flush().await?;
    // The client goes first.
    let _ended = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    Ok(())
}

fn frames(amount: usize) -> usize {
    amount * MIB / PAYLOAD
}

/// A binary frame for `channel`, masked with zeros where a client sends it.
fn frame(channel: u8, is_masked: bool) -> Vec<u8> {
    let length = u16::try_from(PAYLOAD + 1).unwrap().to_be_bytes();
    let mut frame = vec![0x82, if is_masked { 0xfe } else { 126 }, length[0], length[1]];
    frame.extend(if is_masked { &[0; 4][..] } else { &[] });
    frame.push(channel);
    frame.extend(b"abcdefgh".repeat(PAYLOAD / 8));
    frame
}

impl Errand {
    fn path(self) -> String {
        let (word, amount) = match self {
            Self::Say(amount) => ("say", amount),
            Self::Take(amount) => ("take", amount),
        };
        format!(
            "/api/v1/namespaces/default/pods/web/exec?command={word}&command={amount}&stdin=true&stdout=true"
        )
    }

    /// What is asked for at this address, if it is a command.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let query = uri.query()?.strip_prefix("command=")?;
        let (word, rest) = query.split_once("&command=")?;
        let amount = rest.split('&').next()?.parse().ok()?;
        match word {
            "say" => Some(Self::Say(amount)),
            "take" => Some(Self::Take(amount)),
            _ => None,
        }
    }
}
