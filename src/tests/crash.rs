//! The real program, killed in the middle of its work, and stopped as an operator stops it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Mutex, time::Duration};

use rust_decimal::Decimal;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use upline::stream::jetstream::StreamName;

use crate::support::{Delivery, Server, World, eventually, world};

/// An order of the burst, and what it earns for whom in cents: no amount needs rounding.
fn order(id: u64) -> (Delivery, Vec<(&'static str, u64)>) {
    match id % 3 {
        0 => {
            let price = format!("{id}.00");
            (Delivery::order(id, 1, "SUPP001", &price, "11043"), vec![("11043", id * 20)])
        }
        1 => {
            let price = format!("{}.00", id * 10);
            (Delivery::order(id, 1, "BEAUTY02", &price, "10090"), vec![("10090", id * 150)])
        }
        _ => {
            let price = format!("{id}00.00");
            let levels = [("ABC123", 10), ("11043", 5), ("10090", 3), ("10001", 2), ("", 1)];
            let earned = levels.map(|(who, percent)| (who, id * 100 * percent));
            (Delivery::order(id, 1, "KIT-STARTER-001", &price, "ABC123"), earned.into())
        }
    }
}

/// The sums of the ledger per distributor, in cents; breakage has no name.
async fn sums(world: &World) -> BTreeMap<String, u64> {
    let query =
        "SELECT coalesce(distributor_id, ''), sum(amount) * 100 FROM upline.ledger GROUP BY 1";
    let rows = world.rows(query).await;
    let cents = |amount: Decimal| u64::try_from(amount).unwrap();
    rows.iter().map(|row| (row.get(0), cents(row.get(1)))).collect()
}

async fn kill(world: &World, server: Server) {
    let Server { mut child, .. } = server;
    let pid = child.id().unwrap();
    child.kill().await.unwrap();
    world.ended(pid);
}

#[test]
fn a_program_that_is_killed_again_and_again_pays_every_order_exactly_once() {
    killed_again_and_again("killed", |_| ());
}

#[test]
fn fused_stages_that_are_killed_again_and_again_pay_every_order_exactly_once() {
    killed_again_and_again("killed_fused", World::fuse);
}

fn killed_again_and_again(name: &str, prepare: fn(&World)) {
    world(name, async |world| {
        const ORDERS: u64 = 300;
        prepare(world);
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        let mut deliveries = Vec::new();
        for id in 1..=ORDERS {
            let (delivery, earned) = order(id);
            deliveries.push(delivery);
            for (who, cents) in earned {
                *expected.entry(who.to_owned()).or_default() += cents;
            }
        }
        let mut server = world.serve().await;
        let address: Mutex<SocketAddr> = Mutex::new(server.http);
        let burst = world.client.insist_all(|| *address.lock().unwrap(), &deliveries);
        let kills = async {
            for goal in [10, 60, 120, 180, 240] {
                eventually("the books grow", async || {
                    let posted = world.count("SELECT count(*) FROM upline.commission_run").await;
                    (posted >= goal).then_some(())
                })
                .await;
                kill(world, server).await;
                server = world.serve().await;
                *address.lock().unwrap() = server.http;
            }
            server
        };
        let ((), last) = tokio::join!(burst, kills);
        eventually("every order is posted", async || {
            let runs = "SELECT count(DISTINCT order_key) FROM upline.commission_run";
            (world.count(runs).await == 300).then_some(())
        })
        .await;
        world.settles().await;
        assert_eq!(sums(world).await, expected);
        assert_eq!(world.count("SELECT count(*) FROM upline.order_wait").await, 0);
        assert_eq!(world.log.read(StreamName::Dead, "dead.>", 10).await.unwrap(), []);
        assert!(world.blocks_hold().await > 5);
        world.warehouse_agrees().await;
        kill(world, last).await;
    });
}

fn terminate(server: &Server) {
    let pid = i32::try_from(server.child.id().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
}

async fn exit_code(world: &World, mut server: Server) -> Option<i32> {
    let pid = server.child.id().unwrap();
    let ended = tokio::time::timeout(Duration::from_mins(1), server.child.wait()).await;
    world.ended(pid);
    ended.unwrap().unwrap().code()
}

#[test]
fn sigterm_ends_an_idle_program_with_success() {
    world("idle_stop", async |world| {
        let server = world.serve().await;
        world.client.deliver(server.http, &order(3).0).await;
        world.settles().await;
        terminate(&server);
        assert_eq!(exit_code(world, server).await, Some(0));
    });
}

#[test]
fn sigterm_lets_the_request_in_flight_finish_and_loses_nothing() {
    world("busy_stop", async |world| {
        let server = world.serve().await;
        let (delivery, _) = order(3);
        let mut head = format!("POST {} HTTP/1.1\r\nhost: upline\r\n", delivery.path);
        for (name, value) in &delivery.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", delivery.body.len()));
        let (first, rest) = delivery.body.split_at(delivery.body.len() / 2);
        let mut slow = TcpStream::connect(server.http).await.unwrap();
        slow.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
        // Others are behind it in the stages.
        for id in 4..40 {
            world.client.deliver(server.http, &order(id).0).await;
        }
        terminate(&server);
        eventually("nobody new is let in", async || {
            TcpStream::connect(server.http).await.is_err().then_some(())
        })
        .await;
        slow.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(exit_code(world, server).await, Some(0));

        let server = world.serve().await;
        eventually("every order is posted after the next start", async || {
            let runs = "SELECT count(DISTINCT order_key) FROM upline.commission_run";
            (world.count(runs).await == 37).then_some(())
        })
        .await;
        world.warehouse_agrees().await;
        kill(world, server).await;
    });
}
