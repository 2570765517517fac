//! What a whole request allocates, hyper, rustls and the cluster's answer included: the product runs in a process of
//! its own with an allocator that counts, before a stub, and is asked the same thing over and over.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use crate::support::directory::Directory;
use crate::support::rig::kubeconfig;
use crate::support::stub::{OWN_CREDENTIAL, Stub};
use crate::support::wire::{Endpoint, Http1, Http2};
use crate::support::within;
use crate::{ALLOCATOR, fixtures};

/// The word that makes this program the product.
pub(crate) const SERVE: &str = "serve";

const TARGET: &str = "/api/v1/namespaces/default/pods/web-5f779fb4f9-zl5tw";
const WARM_UP: u32 = 300;
const TIMES: u32 = 1000;
/// The least of them counts: what a timer allocates meanwhile is no request's.
const ROUNDS: usize = 5;
/// What a line begins with that says how much was allocated so far.
const ANSWER: &str = "allocations ";

/// Is the product, and says how often it has allocated whenever a line comes in.
pub(crate) fn serve() {
    std::thread::spawn(|| {
        for _line in std::io::stdin().lines() {
            println!("{ANSWER}{}", ALLOCATOR.stats().allocations);
        }
    });
    portcullis::cli::run(std::env::args_os());
}

/// Allocations of a request over HTTP/1.1, and of one over HTTP/2.
pub(crate) fn allocations() -> [f64; 2] {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let product = Product::start().await;
        let lines = [("Authorization", product.authorization.as_str()), ("Accept", "application/json")];
        let mut http1 = Http1::connect(&product.endpoint).await;
        let by_http1 = product.least(async |times| {
            for _ in 0..times {
                assert_eq!(http1.request("GET", TARGET, &lines, b"").await.status, 200);
            }
        });
        let by_http1 = by_http1.await;
        let lines = [("authorization", product.authorization.as_str()), ("accept", "application/json")];
        let http2 = Http2::connect(&product.endpoint).await;
        let by_http2 = product.least(async |times| {
            for _ in 0..times {
                assert_eq!(http2.request("GET", TARGET, &lines, b"").await.unwrap().status, 200);
            }
        });
        [by_http1, by_http2.await]
    })
}

struct Product {
    child: Child,
    asks: std::cell::RefCell<ChildStdin>,
    answers: mpsc::Receiver<u64>,
    endpoint: Endpoint,
    authorization: String,
    _stub: Stub,
    _directory: Directory,
}

impl Product {
    async fn start() -> Self {
        let (stub, directory) = (Stub::start(&["h2", "http/1.1"]).await, Directory::new());
        let path = directory.path();
        std::fs::create_dir(path.join("data")).unwrap();
        let (store, bearer) = fixtures::store(&path.join("data")).await;
        drop(store);
        let kubeconfig = kubeconfig(&stub, &format!("token: {OWN_CREDENTIAL}"));
        std::fs::write(path.join("kubeconfig"), kubeconfig).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([SERVE, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args([Path::new("--kubeconfig"), &path.join("kubeconfig")])
            .args([Path::new("--data-dir"), &path.join("data")])
            .env("PORTCULLIS_WORKERS", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, answers) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(count) = line.strip_prefix(ANSWER) {
                    let _nobody_waits = sender.send(count.parse().unwrap());
                }
            }
        });
        let asks = child.stdin.take().unwrap().into();
        let endpoint = endpoint(&path.join("data")).await;
        let authorization = format!("Bearer {bearer}");
        Self { child, asks, answers, endpoint, authorization, _stub: stub, _directory: directory }
    }

    /// The least that a request took in several rounds.
    async fn least(&self, mut requests: impl AsyncFnMut(u32)) -> f64 {
        requests(WARM_UP).await;
        let mut least = f64::INFINITY;
        for _ in 0..ROUNDS {
            let before = self.count();
            requests(TIMES).await;
            let taken = u32::try_from(self.count() - before).unwrap();
            least = least.min(f64::from(taken) / f64::from(TIMES));
        }
        least
    }

    fn count(&self) -> u64 {
        self.asks.borrow_mut().write_all(b"\n").unwrap();
        self.answers.recv().unwrap()
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where it listens, once it does.
async fn endpoint(data: &Path) -> Endpoint {
    let file = data.join("endpoints.json");
    let listens = async {
        while !file.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    within("the product to listen", listens).await;
    let endpoints: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let ca_pem = std::fs::read_to_string(data.join("ca.crt")).unwrap().into();
    Endpoint { address: endpoints["listen"].as_str().unwrap().parse().unwrap(), ca_pem }
}
