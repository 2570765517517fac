use super::*;

fn limits(most: usize, per_user: usize) -> Limits {
    Limits {
        max_requests_in_flight: most,
        max_requests_in_flight_per_user: per_user,
        max_streams: most,
        max_streams_per_user: per_user,
        ..Limits::default()
    }
}

fn admission(most: usize, per_user: usize) -> (Admission, LoadMetrics) {
    let metrics = LoadMetrics::default();
    (Admission::new(&limits(most, per_user), &metrics), metrics)
}

fn figures(metrics: &LoadMetrics) -> (i64, i64) {
    let figure = |level: &Level| level.value().load(std::sync::atomic::Ordering::SeqCst);
    (figure(&metrics.requests_in_flight), figure(&metrics.requests_waiting))
}

async fn seat(admission: &Admission, user: &str) -> Seat {
    admission.admit(&user, false).await.map_or_else(|full| panic!("{user}: {full:?}"), Admitted::seat)
}

#[tokio::test]
async fn what_there_is_room_for_is_let_in_at_once_and_everything_is_given_back() {
    let (admission, metrics) = admission(2, 2);
    let first = admission.admit(&"alice", false).await;
    let second = admission.admit(&"bob", false).await;
    assert!(matches!((&first, &second), (Ok(Admitted::AtOnce(_)), Ok(Admitted::AtOnce(_)))));
    assert_eq!(figures(&metrics), (2, 0));
    drop((first, second));
    assert_eq!(figures(&metrics), (0, 0));
}

#[tokio::test]
async fn what_waits_gets_the_next_place_and_is_told_to_come_back_if_there_is_none() {
    let (admission, metrics) = admission(2, 1);
    let first = seat(&admission, "alice").await;
    let waits = admission.admit(&"alice", false);
    tokio::pin!(waits);
    assert!(is_pending(waits.as_mut()).await);
    assert_eq!(figures(&metrics), (1, 1));
    let other = seat(&admission, "bob").await;
    drop(first);
    assert!(matches!(waits.await, Ok(Admitted::Late(_))));
    drop(other);
    assert_eq!(figures(&metrics), (0, 0));

    let _all = [seat(&admission, "alice").await, seat(&admission, "bob").await];
    let start = tokio::time::Instant::now();
    assert_eq!(admission.admit(&"alice", false).await.err(), Some(Full::User));
    assert_eq!(admission.admit(&"carol", false).await.err(), Some(Full::All));
    assert!(start.elapsed() >= 2 * PATIENCE);
    assert_eq!(figures(&metrics), (2, 0));
}

#[tokio::test]
async fn a_quiet_user_is_next_in_turn_however_many_of_a_loud_one_wait() {
    let (admission, metrics) = admission(4, 100);
    let admission = Arc::new(admission);
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(seat(&admission, "loud").await);
    }
    let (served, mut order) = tokio::sync::mpsc::unbounded_channel();
    for user in ["loud"; 6].into_iter().chain(["quiet"]) {
        let (admission, served) = (Arc::clone(&admission), served.clone());
        tokio::spawn(async move {
            let seat = admission.admit(&user, false).await;
            served.send((user, seat.is_ok())).unwrap();
        });
        tokio::task::yield_now().await;
    }
    assert_eq!(figures(&metrics), (4, 4), "the queue is as long as there are places");
    // Two for whom there was no room, and the one who had to go for the quiet user.
    for _ in 0..3 {
        assert_eq!(order.recv().await, Some(("loud", false)));
    }
    held.pop();
    for user in ["loud", "quiet", "loud", "loud"] {
        assert_eq!(order.recv().await, Some((user, true)));
    }
}

#[tokio::test]
async fn requests_that_last_have_places_of_their_own_and_do_not_wait() {
    let (admission, metrics) = admission(1, 1);
    let _request = seat(&admission, "alice").await;
    let stream = admission.admit(&"alice", true).await;
    assert!(matches!(stream, Ok(Admitted::AtOnce(_))));
    assert_eq!(admission.admit(&"alice", true).await.err(), Some(Full::User));
    assert_eq!(admission.admit(&"bob", true).await.err(), Some(Full::All));
    drop(stream);
    assert!(admission.admit(&"bob", true).await.is_ok());
    assert_eq!(figures(&metrics), (1, 0));
}

#[tokio::test]
async fn other_bounds_count_at_once_and_nobody_loses_a_place_by_them() {
    let (admission, metrics) = admission(1, 1);
    let first = seat(&admission, "alice").await;
    let waits = admission.admit(&"bob", false);
    tokio::pin!(waits);
    assert!(is_pending(waits.as_mut()).await);
    admission.set_bounds(&limits(2, 2));
    let Ok(Admitted::Late(second)) = waits.await else { panic!("there is room now") };
    assert_eq!(figures(&metrics), (2, 0));

    admission.set_bounds(&limits(1, 1));
    assert_eq!(figures(&metrics), (2, 0));
    drop(first);
    assert_eq!(admission.admit(&"carol", false).await.err(), Some(Full::All), "one too many is there yet");
    drop(second);
    assert!(matches!(admission.admit(&"carol", false).await, Ok(Admitted::AtOnce(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_place_is_lost_among_many_threads_that_come_wait_and_leave() {
    let (admission, metrics) = admission(3, 2);
    let admission = Arc::new(admission);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8_usize {
        let admission = Arc::clone(&admission);
        tasks.spawn(async move {
            for round in 0..2000_usize {
                let user = number % 4;
                let admitted = admission.admit(&user, false);
                // Now and then somebody leaves while waiting.
                let limit = Duration::from_micros(if round % 7 == 0 { 20 } else { 10_000_000 });
                let seat = tokio::time::timeout(limit, admitted).await;
                tokio::task::yield_now().await;
                drop(seat);
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    assert_eq!(figures(&metrics), (0, 0));
    for user in 0..3_usize {
        assert!(matches!(admission.admit(&user, false).await, Ok(Admitted::AtOnce(_))), "{user}");
    }
}

/// Whether it has to wait, having been asked once.
async fn is_pending(mut future: std::pin::Pin<&mut impl Future>) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}
