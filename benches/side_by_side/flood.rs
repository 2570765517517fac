//! Floods of bad tokens, by as many clients at once as ask well in the first row: what a refusal costs beside a good
//! request, how many there are a second, and how a good request fares meanwhile.
//!
//! The gate holds answers to guesses back, and ends connections when it holds too many; so a flood from one address, or of
//! wrong keys for one token, is not what it takes but what it lets through. What a refusal costs of itself is in the
//! row of many addresses: each connection is from an address of its own, and ends before it is slowed down. The good
//! requests of the first row are made in the same way. A client that was sent away comes again at once, and resumes its TLS
//! session.
//!
//! It fails when the upstream sees more than the gate's own probes, and the good requests. It can't show what refusals cost
//! over HTTP/2, where each ends its connection, nor who floods from a /64 of IPv6.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, LocalSet};

use crate::client::Client;
use crate::figures::{Measure, Table, micros};
use crate::origin::{KILOBYTE, Origin, REQUESTS};
use crate::process::{self, Place};
use crate::product::Product;
use crate::scenario::{Pace, Scenario};
use crate::steady::percentile;

/// What a client presents, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Good,
    UnknownFromMany,
    UnknownFromOne,
    WrongKeys,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Good, "good requests"),
    (Kind::UnknownFromMany, "unknown tokens, from many addresses"),
    (Kind::UnknownFromOne, "unknown tokens, from one address"),
    (Kind::WrongKeys, "wrong keys of one token, from many addresses"),
];

/// More than a gate holds back.
const AT_ONCE: usize = 512;
/// Half of what an address may guess at once: two may share a count.
const PER_CONNECTION: usize = 45;
/// Between two good requests beside a flood.
const BESIDE: Duration = Duration::from_millis(10);
/// What a gate asks its cluster for itself, about its own rights, now and then and all at once: within a round no more.
const PROBES: f64 = 40.0;

/// What all clients of a round share.
struct Round {
    kind: Kind,
    client: Client,
    good: Vec<u8>,
    token: String,
    until: Instant,
    number: Rc<Cell<u32>>,
    answers: Cell<u64>,
    connections: Cell<u64>,
    /// Those among them that ended without the answer to a request.
    broken: Cell<u64>,
}

pub(crate) fn all() -> Vec<Scenario> {
    vec![Scenario::new("a flood of bad tokens".to_owned(), run)]
}

fn run(name: &str, place: &Place, pace: Pace) -> Table {
    process::move_to_others();
    let origin = Origin::start(place);
    let product = Product::start(place, origin.http1);
    let measures = vec![
        Measure::compared("CPU an answer, µs", 1),
        Measure::told("answers/s", 0),
        Measure::told("answers/s to good ones", 2),
        Measure::told("of its core, %", 0),
        Measure::told("connections/s", 0),
        Measure::told("of them without an answer/s", 0),
        Measure::told("held back, %", 1),
        Measure::told("a good request beside, p99, ms", 2),
        Measure::told("requests upstream beside good ones, 1/s", 1),
    ];
    let mut table = Table::new(name, measures, &KINDS.map(|(_, name)| name));
    let number = Rc::new(Cell::new(0));
    measure(place, &origin, &product, Kind::Good, pace.warm_up, &number);
    for round in 1..=pace.rounds {
        let mut good = f64::NAN;
        for ((kind, name), row) in KINDS.iter().zip(&mut table.rows) {
            let mut values = measure(place, &origin, &product, *kind, pace.round, &number);
            if *kind == Kind::Good {
                good = values[1];
            }
            values[2] = values[1] / good;
            eprintln!("  round {round}, {name}: {:.0} answers/s", values[1]);
            row.add(&values);
        }
    }
    table
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn measure(
    place: &Place,
    origin: &Origin,
    product: &Product,
    kind: Kind,
    time: Duration,
    number: &Rc<Cell<u32>>,
) -> [f64; 9] {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let upstream = || runtime.block_on(requests(place, origin));
    let held = || product.metric("portcullis_refusals_delayed_total");
    let (asked, held_before, cpu, begun) = (upstream(), held(), product.proxy.process.cpu(), Instant::now());
    let authorization = &product.proxy.authorization;
    let client = Client::new(product.proxy.address, &place.ca_pem);
    let round = Rc::new(Round {
        kind,
        good: client.request("GET", KILOBYTE, authorization, ""),
        client,
        token: authorization.split([' ', ':']).nth(1).unwrap().to_owned(),
        until: begun + time,
        number: Rc::clone(number),
        answers: Cell::new(0),
        connections: Cell::new(0),
        broken: Cell::new(0),
    });
    let mut beside = LocalSet::new().block_on(&runtime, flood(&round));
    let (elapsed, cpu) = (begun.elapsed().as_secs_f64(), product.proxy.process.cpu().saturating_sub(cpu));
    let (answers, others) = (round.answers.get() as f64, beside.len() as f64);
    let good = others + if kind == Kind::Good { answers } else { 0.0 };
    let stray = upstream() - asked - good;
    assert!(stray < PROBES, "{kind:?}: {stray} requests reached the cluster, of {answers}");
    [
        micros(cpu) / answers,
        answers / elapsed,
        f64::NAN,
        cpu.as_secs_f64() / elapsed * 100.0,
        round.connections.get() as f64 / elapsed,
        round.broken.get() as f64 / elapsed,
        (held() - held_before) / answers * 100.0,
        percentile(&mut beside, 99).as_secs_f64() * 1e3,
        stray / elapsed,
    ]
}

/// All clients, until the round is over, and one beside them that has a good token. How long that one's requests took.
async fn flood(round: &Rc<Round>) -> Vec<Duration> {
    let mut clients = JoinSet::new();
    for _ in 0..AT_ONCE {
        clients.spawn_local(insist(Rc::clone(round)));
    }
    let mut connection = round.client.connect().await.unwrap();
    let (mut took, mut turns) = (Vec::new(), tokio::time::interval(BESIDE));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while Instant::now() < round.until {
        turns.tick().await;
        let begun = Instant::now();
        assert_eq!(connection.ask(&round.good).await.unwrap().status, 200);
        took.push(begun.elapsed());
    }
    clients.join_all().await;
    took
}

async fn insist(round: Rc<Round>) {
    let wanted = if round.kind == Kind::Good { 200 } else { 401 };
    while Instant::now() < round.until {
        let connecting = match round.kind {
            Kind::UnknownFromOne => round.client.connect().await,
            Kind::Good | Kind::UnknownFromMany | Kind::WrongKeys => {
                round.client.connect_from(round.source()).await
            }
        };
        let mut connection = connecting.unwrap();
        round.connections.update(|count| count + 1);
        for _ in 0..PER_CONNECTION {
            let answer = match connection.ask(&round.request()).await {
                Ok(answer) => answer,
                Err(error) => {
                    assert!(round.kind != Kind::Good, "{error}");
                    round.broken.update(|count| count + 1);
                    break;
                }
            };
            assert_eq!(answer.status, wanted, "{:?}", round.kind);
            round.answers.update(|count| count + 1);
            if answer.is_last || Instant::now() >= round.until {
                break;
            }
        }
    }
}

impl Round {
    fn request(&self) -> Vec<u8> {
        if self.kind == Kind::Good {
            return self.good.clone();
        }
        let number = self.next();
        let name =
            if self.kind == Kind::WrongKeys { &*self.token } else { &format!("token-{}", word(number, 5)) };
        self.client.request("GET", KILOBYTE, &format!("Bearer {name}:{}", word(number, 54)), "")
    }

    /// Another one each time, of sixteen million.
    fn source(&self) -> Ipv4Addr {
        let [_, high, middle, low] = self.next().to_be_bytes();
        Ipv4Addr::new(127, high.max(1), middle, low.clamp(1, 254))
    }

    fn next(&self) -> u32 {
        self.number.update(|number| number.wrapping_add(1));
        // Spread, so that two in a row have nothing in common.
        self.number.get().wrapping_mul(0x9e37_79b1)
    }
}

/// So many letters of the alphabet of keys.
fn word(number: u32, letters: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut left = u64::from(number) + 1;
    let mut letter = || {
        let index = usize::try_from(left % ALPHABET.len() as u64).unwrap();
        left = left.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (left >> 29);
        char::from(ALPHABET[index])
    };
    (0..letters).map(|_| letter()).collect()
}

/// How many requests the origin has had, this one not counted.
async fn requests(place: &Place, origin: &Origin) -> f64 {
    let client = Client::new(origin.http1, &place.ca_pem);
    let mut connection = client.connect().await.unwrap();
    let answer = connection.ask(&client.request("GET", REQUESTS, "none", "")).await.unwrap();
    let text = String::from_utf8_lossy(connection.body(&answer)).into_owned();
    let counts = text.lines().nth(2).unwrap_or_else(|| panic!("{answer:?}: {text}"));
    counts.split_whitespace().nth(2).unwrap().parse::<f64>().unwrap()
}
