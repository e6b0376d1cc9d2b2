//! The algebra on the real servers: thousands of orders whose facts arrive shuffled and repeated, through
//! NATS and Postgres, by two programs that share the work.

use std::collections::BTreeMap;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use upline::{
    domain::{
        commission::Account,
        id::{ComponentId, LineId, OrderKey},
        ledger::Position,
        money::{Currency, Money},
    },
    stage::{
        map::{Company, Terms},
        message::{Headers, Subject, Trace, Validated},
    },
    store::postgres::CompanyReader,
    stream::{Outgoing, Publish},
};

use crate::{
    simulation::{Told, event, sums, told},
    support::{World, world},
};

const ORDERS: usize = 2_000;

/// The facts of the orders and the order in which they arrive, every fact at least once.
fn story() -> (Vec<Vec<Told>>, Vec<(usize, usize)>) {
    let mut runner = TestRunner::deterministic();
    let facts = prop::collection::vec(told(), 1..6);
    let orders: Vec<Vec<Told>> =
        (0..ORDERS).map(|_| facts.new_tree(&mut runner).unwrap().current()).collect();
    let mut all: Vec<(usize, usize)> = orders
        .iter()
        .enumerate()
        .flat_map(|(order, facts)| (0..facts.len()).map(move |fact| (order, fact)))
        .collect();
    all.extend(all.clone().into_iter().step_by(3));
    let shuffled = Just(all).prop_shuffle().new_tree(&mut runner).unwrap().current();
    (orders, shuffled)
}

fn message(nth: usize, order: usize, fact: usize, told: &Told) -> Outgoing {
    let event = event(order, fact, told);
    let subject = Subject::Valid(&event.key).to_string();
    let trace = Trace::start(event.origin.received_at);
    let payload = serde_json::to_vec(&Validated { event, trace }).unwrap();
    Outgoing {
        subject,
        id: format!("arrival:{nth}"),
        headers: Headers::default(),
        payload: payload.into(),
    }
}

async fn balances(world: &World) -> BTreeMap<(OrderKey, Position), Money> {
    let query = "SELECT order_key, line_id, component, level::int, account, sum(amount), currency
                 FROM upline.ledger GROUP BY 1, 2, 3, 4, 5, 7 HAVING sum(amount) <> 0";
    let rows = world.rows(query).await;
    rows.iter()
        .map(|row| {
            let position = Position {
                line: LineId::parse(row.get(1)).unwrap(),
                component: ComponentId::parse(row.get(2)).unwrap(),
                level: u16::try_from(row.get::<_, i32>(3)).unwrap(),
                account: Account::try_from(row.get::<_, String>(4)).unwrap(),
                currency: Currency::parse(row.get(6)).unwrap(),
            };
            let key = OrderKey::parse(row.get(0)).unwrap();
            ((key, position), Money::from_decimal(row.get(5)).unwrap())
        })
        .collect()
}

#[test]
fn thousands_of_orders_end_where_their_facts_say_whatever_the_arrival() {
    world("disorder", async |world| {
        let people = ["d0", "d1", "d2", "d3", "d4"];
        world.enrol(&[(people[0], None)]).await;
        for pair in people.windows(2) {
            world.enrol(&[(pair[1], Some(pair[0]))]).await;
        }
        world.map_skus(&[("a", "kit"), ("b", "supplement")]).await;
        let sleep = "UPDATE upline.distributors SET status = 'inactive', changed_at = '2001-01-01'
                     WHERE distributor_id = 'd2'";
        world.execute(sleep).await.unwrap();
        let (first, second) = (world.start().await, world.start().await);
        let (orders, arrival) = story();
        for (nth, chunk) in arrival.chunks(500).enumerate() {
            let messages = chunk.iter().enumerate().map(|(at, (order, fact))| {
                message(nth * 500 + at, *order, *fact, &orders[*order][*fact])
            });
            world.log.publish_all(messages.collect()).await.unwrap();
        }
        world.settles().await;
        let mut company = Company::default();
        CompanyReader::new(world.store()).catch_up(&mut company).await.unwrap();
        let (wanted, parked) = sums(&orders, &company, &Terms::of_plan("field"));
        assert!(parked.len() < ORDERS / 2, "too many orders wait for a decision");
        assert!(wanted.len() > ORDERS, "the story pays too little to prove anything");
        let mut found = balances(world).await;
        found.retain(|(key, _), _| !parked.contains(key));
        assert_eq!(found, wanted);
        let waiting = "SELECT count(DISTINCT order_key) FROM upline.order_wait";
        assert_eq!(world.count(waiting).await, i64::try_from(parked.len()).unwrap());
        world.blocks_hold().await;
        world.warehouse_agrees().await;
        first.stop().await;
        second.stop().await;
    });
}
