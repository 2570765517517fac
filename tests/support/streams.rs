//! Watches at a stub: they tell one event and stay.

use super::accounts::Account;
use super::stub::{Answer, Reply, Seen, send_data};
use super::wire::Http2;
use super::within;

const WATCH: &str = "/api/v1/pods?watch=true";
const EVENT: &[u8] = b"{\"type\":\"BOOKMARK\"}\n";

/// A watch's answer for a watch, and `reply` for all else.
pub(crate) fn watch_or(seen: &Seen, reply: Reply) -> Answer {
    if seen.target.contains("watch=true") { watch_answer() } else { reply.into() }
}

/// One event, and then nothing until the gate leaves.
pub(crate) fn watch_answer() -> Answer {
    Answer::http2(async |mut stream| {
        let response = http::Response::builder().status(200).body(()).unwrap();
        let Ok(mut sender) = stream.respond.send_response(response, false) else { return };
        send_data(&mut sender, EVENT, false).await;
        let _ = std::future::poll_fn(|context| sender.poll_reset(context)).await;
    })
}

/// An open watch that has told its event.
pub(crate) async fn open_watch(client: &Http2, account: &Account) -> h2::RecvStream {
    let authorization = account.authorization();
    let (response, _) = client.start("GET", WATCH, &[("authorization", &authorization)], true).await.unwrap();
    let mut body = within("the head of a watch", response).await.unwrap().into_body();
    let event = within("an event", body.data()).await.unwrap().unwrap();
    assert_eq!(&event[..], EVENT);
    body
}

/// How many of the watches have not ended.
pub(crate) async fn still_open(watches: Vec<h2::RecvStream>) -> usize {
    let mut open = 0;
    for mut watch in watches {
        let next = std::future::poll_fn(|context| std::task::Poll::Ready(watch.poll_data(context))).await;
        open += usize::from(next.is_pending());
    }
    open
}
