//! Who is there, here and at other hosts.

use super::*;

fn metadata(bytes: usize) -> WorkerMetadata {
    [("k".to_owned(), "v".repeat(bytes - 1))].into()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

#[test]
fn a_worker_is_there_until_it_leaves_and_another_of_its_id_takes_its_place() {
    let stores = Workers::default();
    let (store, other) = (StoreId(id(1)), StoreId(id(2)));
    let workers = stores.of(store);
    let mut changes = workers.changes();
    let ids = |workers: &StoreWorkers| {
        workers
            .inventory()
            .iter()
            .map(|one| one.id.as_u128())
            .collect::<Vec<_>>()
    };
    let second = workers.join(id(2), metadata(3), Timestamp(7)).unwrap();
    let first = workers.join(id(1), metadata(3), Timestamp(7)).unwrap();
    assert!(changes.has_changed().unwrap() && ids(&stores.of(store)) == [1, 2]);
    assert!(stores.of(other).inventory().is_empty(), "another store's are others");
    changes.mark_unchanged();
    second.seen(Timestamp(9));
    assert_eq!(workers.inventory()[1].last_seen, Timestamp(9));
    assert!(!changes.has_changed().unwrap());
    let instead = workers.join(id(2), metadata(9), Timestamp(8)).unwrap();
    assert!(second.replaced.is_cancelled() && !instead.replaced.is_cancelled());
    second.seen(Timestamp(99));
    drop(second);
    assert_eq!(workers.inventory()[1].last_seen, Timestamp(8), "it is another's by now");
    drop((first, instead));
    assert!(workers.inventory().is_empty() && workers.lock().metadata_bytes == 0);
}

#[test]
fn workers_and_what_they_say_of_themselves_are_bounded() {
    let workers = Workers::default().of(StoreId(id(1)));
    let large = workers.join(id(0), metadata(METADATA_BYTES_MAX), Timestamp(0)).unwrap();
    let refused = workers.join(id(1), metadata(1), Timestamp(0)).err();
    assert_eq!(refused, Some(PresenceRefused::TooMuchMetadata));
    drop(large);
    let joined: Vec<WorkerPlace> = (0..WORKERS_MAX)
        .map(|number| workers.join(id(number as u128), metadata(1), Timestamp(0)).unwrap())
        .collect();
    let more = |number| workers.join(id(number), metadata(1), Timestamp(0));
    assert_eq!(more(1 << 40).err(), Some(PresenceRefused::TooMany));
    assert!(more(7).is_ok(), "one that takes another's place");
    drop(joined);
}

/// The other ends of what a host tells, and hears.
struct Ends {
    tells: watch::Receiver<Vec<HostedWorker>>,
    hears: watch::Sender<Vec<HostedWorker>>,
}

#[derive(Default)]
struct Told(Mutex<Vec<Ends>>);

impl WorkerRegister for Told {
    fn join(&self, _: StoreId) -> SharedWorkers {
        let ((own, tells), (hears, others)) = (watch::channel(Vec::new()), watch::channel(Vec::new()));
        self.0.lock().unwrap().push(Ends { tells, hears });
        SharedWorkers { own, others }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_another_host_is_there_and_one_that_came_to_another_host_later_is_there_and_not_here() {
    let register = Arc::new(Told::default());
    let workers = Workers::shared(register.clone()).of(StoreId(id(1)));
    let Ends { tells, hears } = register.0.lock().unwrap().pop().unwrap();
    let begun = Instant::now();
    let other_since = |number, coming, since| HostedWorker {
        id: id(number),
        metadata: metadata(3),
        last_seen: Timestamp(7),
        coming,
        since,
    };
    let other = |number, coming| other_since(number, coming, begun);
    let ids = || {
        workers
            .inventory()
            .iter()
            .map(|one| one.id.as_u128())
            .collect::<Vec<_>>()
    };
    let mut changes = workers.changes();
    let own = workers.join(id(2), metadata(3), Timestamp(7)).unwrap();
    assert_eq!(*tells.borrow(), [other(2, 7)]);
    changes.mark_unchanged();
    hears.send_replace(vec![other(1, 9), other(3, 9)]);
    changes.changed().await.unwrap();
    assert_eq!(ids(), [1, 2, 3]);
    own.seen(Timestamp(8));
    assert_eq!(tells.borrow()[0].last_seen, Timestamp(8));

    // It came here from another host, which does not know of it yet.
    hears.send_replace(vec![other(2, 99)]);
    changes.changed().await.unwrap();
    assert_eq!((ids(), tells.borrow()[0].coming), (vec![2], 100));
    // It goes there again.
    tokio::time::advance(SETTLES).await;
    hears.send_replace(vec![other_since(2, 101, Instant::now())]);
    changes.changed().await.unwrap();
    assert!(own.replaced.is_cancelled() && tells.borrow().is_empty());
    drop(own);
    assert_eq!(ids(), [2]);
    // And comes back.
    let back = workers.join(id(2), metadata(3), Timestamp(8)).unwrap();
    assert_eq!((ids(), tells.borrow()[0].coming), (vec![2], 102));
    drop(back);
    assert!(ids().is_empty() && workers.lock().metadata_bytes == 0);
}

/// Each host reads what the other one has written, again and again, until nothing changes any more: who is still there.
async fn settled(hosts: [(WorkerPlace, Ends); 2]) -> [bool; 2] {
    let mut written = [(); 2].map(|()| (Vec::new(), Instant::now()));
    for second in 0..30 {
        for here in [0, 1] {
            // A row is written when something changes, and every five seconds.
            let own = hosts[here].1.tells.borrow().clone();
            if second % 5 == 0 || written[here].0 != own {
                written[here] = (own, Instant::now());
            }
            let (rows, at) = &written[1 - here];
            let delay = Instant::now() - *at;
            let heard = rows.iter().cloned().map(|mut worker| {
                worker.since += delay;
                worker
            });
            hosts[here].1.hears.send_replace(heard.collect());
            tokio::time::advance(Duration::from_millis(500)).await;
            tokio::task::yield_now().await;
        }
    }
    [0, 1].map(|host| !hosts[host].0.replaced.is_cancelled())
}

#[tokio::test(start_paused = true)]
async fn of_two_hosts_to_which_a_worker_comes_soon_one_after_the_other_the_later_one_has_it() {
    // How far the clock of the first is ahead, and how long after the first it comes to the second.
    for (ahead, later) in [
        (0, 1),
        (0, 700),
        (0, 2900),
        (0, 60_000),
        (2500, 1500),
        (60_000, 4000),
        (-60_000, 10),
    ] {
        let register = Arc::new(Told::default());
        let hosts = [1_000_000 + ahead, 1_000_000 + later].map(|clock| {
            let workers = Workers::shared(register.clone()).of(StoreId(id(1)));
            (workers, register.0.lock().unwrap().pop().unwrap(), clock)
        });
        let [(first, of_first, then), (second, of_second, now)] = hosts;
        let first = first.join(id(2), metadata(3), Timestamp(then)).unwrap();
        tokio::time::advance(Duration::from_millis(later.unsigned_abs())).await;
        let second = second.join(id(2), metadata(3), Timestamp(now)).unwrap();
        let there = settled([(first, of_first), (second, of_second)]).await;
        assert_eq!(there, [false, true], "{ahead} ms ahead, {later} ms later");
    }
}
